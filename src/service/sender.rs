//! What workers want to know of who sends: evaluations of `policy::sender`, run where the DNS can be
//! asked.
//!
//! Invariant: every inquiry ends within `sender.timeout` and `sender.lookups`; what was not answered
//! by then counts as not answered.

use std::sync::Arc;

use tokio::time::Instant;

use super::dns::{self, Budget, Resolver};
use crate::policy::sender::Settings;
use crate::relay::question::{Answer, Question, Unknown};
use crate::sender::dns::{Known, Missing};

#[derive(Clone, Debug)]
pub struct Inquirer {
    resolver: Arc<Resolver>,
    settings: Arc<Settings>,
}

impl Inquirer {
    /// # Errors
    /// When no resolver can be had; the text says why.
    pub fn new(settings: &Arc<Settings>) -> Result<Self, String> {
        let of_dns = dns::Settings { patience: settings.patience, validates: settings.validates };
        let resolver = Arc::new(Resolver::new(&settings.resolver, of_dns)?);
        Ok(Self { resolver, settings: Arc::clone(settings) })
    }

    /// What is known about what `question` asks for; nothing, if that is no inquiry.
    pub async fn answer(&self, question: &Question) -> Answer {
        match question {
            Question::Client(inquiry) => {
                Answer::Client(self.find(|known| inquiry.evaluate(&self.settings, known)).await)
            }
            Question::Author(inquiry) => Answer::Author(self.find(|known| inquiry.evaluate(known)).await),
            Question::Quarantine(_) | Question::Auth(_) | Question::Recall(_) | Question::Learn(_) => {
                Answer::Unknown(Unknown::Gone)
            }
        }
    }

    async fn find<T>(&self, evaluation: impl Fn(&Known) -> Result<T, Missing>) -> Box<T> {
        let until = Instant::now() + self.settings.patience;
        let mut budget = Budget { questions: self.settings.questions, until };
        Box::new(self.resolver.evaluate(&mut Known::default(), &mut budget, evaluation).await)
    }
}
