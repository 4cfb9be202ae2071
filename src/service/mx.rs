//! Where mail for a domain goes: evaluations of `policy::mx`, run where the DNS and HTTPS can be asked.
//!
//! Invariant: every inquiry ends within its patience; what was not answered by then counts as not
//! answered, and the message is deferred.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::dns::{Budget, Resolver};
use super::mta_sts::Policies;
use crate::policy::mx::{Found, Nowhere, OfDomain, Rules};
use crate::policy::settings::Config;
use crate::relay::question::Answer;
use crate::sender::dns::Known;

/// For all that the DNS is asked about one domain; a policy that is fetched has its own time.
const PATIENCE: Duration = Duration::from_secs(20);
/// The exchangers, two kinds of addresses and one of records of each.
const QUESTIONS: usize = 64;

/// For all upstreams whose servers are looked up.
#[derive(Clone, Debug)]
pub struct Finder(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    resolver: Arc<Resolver>,
    config: Arc<Config>,
    /// By upstream.
    policies: Vec<Option<Rc<Policies>>>,
}

impl Finder {
    pub fn new(config: Arc<Config>, resolver: Arc<Resolver>) -> Self {
        let policies = config.upstreams.iter().map(|upstream| upstream.mx.as_ref().and_then(Policies::new));
        let policies = policies.map(|policies| policies.map(Rc::new)).collect();
        Self(Rc::new(Inner { resolver, config, policies }))
    }

    pub async fn answer(&self, inquiry: &OfDomain) -> Answer {
        Answer::NextHop(self.find(inquiry).await.map(Arc::new))
    }

    /// Where mail for this domain goes now.
    pub(super) async fn find(&self, inquiry: &OfDomain) -> Found {
        let Inner { resolver, config, policies } = &*self.0;
        let Some(upstream) = config.upstreams.get(inquiry.upstream) else { return Err(Nowhere::Failed) };
        let rules = Rules::new(&config.hostname, upstream);
        let policies = policies.get(inquiry.upstream).and_then(Option::as_ref);
        let policy = match (policies, inquiry.policy_domain()) {
            (Some(policies), Some(domain)) => policies.of(resolver, &domain).await,
            _ => None,
        };
        let mut budget = Budget { questions: QUESTIONS, until: Instant::now() + PATIENCE };
        let evaluation = |known: &Known| inquiry.evaluate(&rules, policy.as_deref(), known);
        resolver.evaluate(&mut Known::default(), &mut budget, evaluation).await
    }
}
