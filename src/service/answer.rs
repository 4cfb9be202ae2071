//! Takes the questions of workers and gives each to whom it concerns.
//!
//! Invariants: taking a question never waits, so that a slow answer delays no other question; nobody's
//! inquiry takes a place in the DNS when its transaction is over.

use std::rc::Rc;

use tokio::sync::mpsc;

use super::authenticator::{Authenticator, Origin};
use super::mx::Finder;
use super::quarantine::Store;
use super::sender::Inquirer;
use super::store;
use crate::policy::settings::Config;
use crate::policy::users::Source;
use crate::relay::auth::{Attempt, Claim, Outcome};
use crate::relay::question::{Answer, Question, Unknown};
use crate::worker::ask::Asked;

/// Those who can answer.
#[derive(Debug, Default)]
pub struct Answerers {
    pub quarantine: Option<Store>,
    pub sender: Option<Inquirer>,
    pub next_hops: Option<Finder>,
    pub store: Option<store::Store>,
    pub authenticators: Authenticators,
}

/// For each listener who says whether its users' passwords are right. Listeners with the same source
/// share one, so that guessing at several gains nothing.
#[derive(Debug, Default)]
pub struct Authenticators(Vec<Option<Rc<Authenticator>>>);

impl Authenticators {
    /// # Errors
    /// As for [`Authenticator::new`].
    pub fn new(config: &Config) -> Result<Self, String> {
        let mut known: Vec<(&Source, Rc<Authenticator>)> = Vec::new();
        let mut all = Vec::new();
        for auth in config.listeners.iter().map(|listener| listener.auth.as_ref()) {
            let Some(auth) = auth else {
                all.push(None);
                continue;
            };
            let shared = known.iter().find(|(source, _)| *source == &auth.source);
            let authenticator = match shared {
                Some((_, authenticator)) => Rc::clone(authenticator),
                None => Rc::new(Authenticator::new(&auth.source, config)?),
            };
            known.push((&auth.source, Rc::clone(&authenticator)));
            all.push(Some(authenticator));
        }
        Ok(Self(all))
    }

    fn of(&self, listener: usize) -> Option<Rc<Authenticator>> {
        self.0.get(listener).cloned().flatten()
    }
}

async fn look_at(authenticator: &Authenticator, attempt: Attempt) -> Outcome {
    let Attempt { client, local, claim, .. } = attempt;
    match claim {
        Claim::Password { user, password } => {
            authenticator.verify(Origin { client, local }, &user, password).await
        }
        Claim::Keys { user } => authenticator.keys(client.ip(), &user),
        Claim::Proof { is_right } => authenticator.conclude(client.ip(), is_right).await,
    }
}

/// Answers to the end of the process, that is of the last worker.
pub async fn serve(mut questions: mpsc::Receiver<Asked>, answerers: Answerers) {
    while let Some(asked) = questions.recv().await {
        answerers.answer(asked);
    }
    if let Some(store) = answerers.store {
        store.close();
    }
}

impl Answerers {
    fn answer(&self, asked: Asked) {
        let Asked { ticket, question, answers, freight, interest } = asked;
        if let Question::Auth(attempt) = question {
            return match self.authenticators.of(attempt.listener) {
                Some(authenticator) => {
                    tokio_uring::spawn(async move {
                        answers.push(ticket, Answer::Auth(look_at(&authenticator, *attempt).await));
                        drop(freight);
                    });
                }
                None => answers.push(ticket, Answer::Unknown(Unknown::Gone)),
            };
        }
        if let (Question::NextHop(inquiry), Some(finder)) = (&question, self.next_hops.clone()) {
            let inquiry = inquiry.clone();
            tokio_uring::spawn(async move {
                let answer = interest.while_it_lasts(finder.answer(&inquiry)).await;
                answer.into_iter().for_each(|answer| answers.push(ticket, answer));
                drop(freight);
            });
            return;
        }
        let question = match (question, &self.store) {
            (Question::Recall(keys), Some(store)) => {
                return answers.push(ticket, Answer::Recalled(store.recall(&keys)));
            }
            (Question::Learn(lessons), Some(store)) => return store.learn(&lessons),
            (question, _) => question,
        };
        match (question, &self.quarantine, &self.sender) {
            (Question::Quarantine(word), Some(store), _) => store.hear(ticket, &answers, (word, freight)),
            (
                question @ (Question::Client(_)
                | Question::Author(_)
                | Question::Links(_)
                | Question::Seal(_)),
                _,
                Some(inquirer),
            ) => {
                let inquirer = inquirer.clone();
                tokio_uring::spawn(async move {
                    let answer = interest.while_it_lasts(inquirer.answer(question)).await;
                    answer.into_iter().for_each(|answer| answers.push(ticket, answer));
                    drop(freight);
                });
            }
            _ => answers.push(ticket, Answer::Unknown(Unknown::Gone)),
        }
    }
}
