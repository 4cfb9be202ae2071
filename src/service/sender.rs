//! What workers want to know of who sends: evaluations of `policy::sender`, run where the DNS can be
//! asked.
//!
//! Invariant: every inquiry ends within `sender.timeout` and `sender.lookups`; what was not answered
//! by then counts as not answered.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::dns::{Budget, Resolver};
use crate::policy::seal::OfSeal;
use crate::policy::sender::Settings;
use crate::relay::question::{Answer, Question, Unknown};
use crate::sender::arc::Unsealed;
use crate::sender::dns::{Known, Missing};

/// Messages that are sealed at a time: each takes a core for a millisecond or two. How many wait is bounded by
/// what workers may have asked.
const SEALED_AT_ONCE: usize = 2;

#[derive(Clone, Debug)]
pub struct Inquirer {
    resolver: Arc<Resolver>,
    settings: Arc<Settings>,
    /// Of those that are to be sealed, who is being sealed.
    turns: Arc<Semaphore>,
}

impl Inquirer {
    pub fn new(settings: Arc<Settings>, resolver: Arc<Resolver>) -> Self {
        Self { resolver, settings, turns: Arc::new(Semaphore::new(SEALED_AT_ONCE)) }
    }

    /// What is known about what `question` asks for; nothing, if that is no inquiry.
    pub async fn answer(&self, question: Question) -> Answer {
        match question {
            Question::Seal(of_seal) => Answer::Sealed(self.seal(of_seal).await),
            Question::Client(inquiry) => {
                Answer::Client(self.find(|known| inquiry.evaluate(&self.settings, known)).await)
            }
            Question::Author(inquiry) => Answer::Author(self.find(|known| inquiry.evaluate(known)).await),
            Question::Links(inquiry) => {
                Answer::Links(self.find(|known| inquiry.evaluate(&self.settings, known)).await)
            }
            _ => Answer::Unknown(Unknown::Gone),
        }
    }

    /// Signing is slow: it has threads of its own.
    async fn seal(&self, of_seal: Box<OfSeal>) -> Result<String, Unsealed> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| Unsealed::Busy)?;
        let sealed = tokio::task::spawn_blocking(move || {
            // Whoever stops waiting does not give its turn to another while the thread is still at it.
            let _turn = turn;
            of_seal.seal()
        });
        sealed.await.unwrap_or(Err(Unsealed::Refused))
    }

    async fn find<T>(&self, evaluation: impl Fn(&Known) -> Result<T, Missing>) -> Box<T> {
        let until = Instant::now() + self.settings.patience;
        let mut budget = Budget { questions: self.settings.questions, until };
        Box::new(self.resolver.evaluate(&mut Known::default(), &mut budget, evaluation).await)
    }
}
