//! What workers want to know of who sends: evaluations of `policy::sender`, run where the DNS can be
//! asked.
//!
//! Invariant: every inquiry ends within `sender.timeout` and `sender.lookups`; what was not answered
//! by then counts as not answered.

use std::sync::Arc;

use tokio::time::Instant;

use super::dns::{self, Budget, Resolver, Servers};
use crate::policy::sender::{self, Settings};
use crate::relay::question::Answer;
use crate::sender::dns::Known;

#[derive(Clone, Debug)]
pub struct Inquirer {
    resolver: Arc<Resolver>,
    settings: Arc<Settings>,
}

impl Inquirer {
    /// # Errors
    /// When no resolver can be had; the text says why.
    pub fn new(settings: &Arc<Settings>) -> Result<Self, String> {
        let servers = match &settings.resolver {
            sender::Resolver::System => Servers::System,
            sender::Resolver::Servers(servers) => Servers::List(servers.clone()),
        };
        let of_dns = dns::Settings { patience: settings.patience, validates: settings.validates };
        let resolver = Arc::new(Resolver::new(&servers, of_dns)?);
        Ok(Self { resolver, settings: Arc::clone(settings) })
    }

    pub async fn about_client(&self, inquiry: &sender::OfClient) -> Answer {
        let (mut known, mut budget) = (Known::default(), self.budget());
        let evaluation = |known: &Known| inquiry.evaluate(&self.settings, known);
        Answer::Client(Box::new(self.resolver.evaluate(&mut known, &mut budget, evaluation).await))
    }

    pub async fn about_author(&self, inquiry: &sender::OfAuthor) -> Answer {
        let (mut known, mut budget) = (Known::default(), self.budget());
        let evaluation = |known: &Known| inquiry.evaluate(known);
        Answer::Author(Box::new(self.resolver.evaluate(&mut known, &mut budget, evaluation).await))
    }

    fn budget(&self) -> Budget {
        Budget { questions: self.settings.questions, until: Instant::now() + self.settings.patience }
    }
}
