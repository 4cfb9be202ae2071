//! Takes the questions of workers and gives each to whom it concerns.
//!
//! Invariant: taking a question never waits, so that a slow answer delays no other question.

use tokio::sync::mpsc;

use super::quarantine::Store;
use crate::relay::question::{Answer, Question, Unknown};
use crate::worker::ask::Asked;

/// Those who can answer.
#[derive(Debug, Default)]
pub struct Answerers {
    pub quarantine: Option<Store>,
}

/// Answers to the end of the process, that is of the last worker.
pub async fn serve(mut questions: mpsc::Receiver<Asked>, answerers: Answerers) {
    while let Some(asked) = questions.recv().await {
        answerers.answer(asked);
    }
}

impl Answerers {
    fn answer(&self, asked: Asked) {
        let Asked { ticket, question, answers, freight } = asked;
        match (question, &self.quarantine) {
            (Question::Quarantine(word), Some(store)) => store.hear(ticket, &answers, (word, freight)),
            (Question::Quarantine(_), None) => answers.push(ticket, Answer::Unknown(Unknown::Gone)),
        }
    }
}
