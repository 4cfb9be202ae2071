//! Takes the questions of workers and gives each to whom it concerns.
//!
//! Invariants: taking a question never waits, so that a slow answer delays no other question; nobody's
//! inquiry takes a place in the DNS when its transaction is over.

use std::rc::Rc;

use tokio::sync::mpsc;

use super::authenticator::{Authenticator, Origin};
use super::bank::Bank;
use super::mx::Finder;
use super::quarantine::Store;
use super::sender::Inquirer;
use super::store::Memory;
use crate::policy::settings::Config;
use crate::policy::users::Source;
use crate::relay::auth::{Attempt, Claim, Outcome};
use crate::relay::question::{Answer, Question, Unknown};
use crate::worker::ask::{AnswerQueue, Asked, Freight, Interest, Ticket};

/// Who waits, and where.
type Waiting = (Ticket, AnswerQueue);

/// Those who can answer.
#[derive(Debug, Default)]
pub struct Answerers {
    pub quarantine: Option<Store>,
    pub sender: Option<Inquirer>,
    pub next_hops: Option<Finder>,
    pub store: Option<Memory>,
    pub authenticators: Authenticators,
    pub bank: Option<Bank>,
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
        store.close().await;
    }
}

impl Answerers {
    fn answer(&self, asked: Asked) {
        let Asked { ticket, question, answers, freight, interest } = asked;
        let waiting = (ticket, answers);
        match (question, self) {
            (Question::Auth(attempt), _) => self.look_at(*attempt, waiting, freight),
            (Question::NextHop(inquiry), Self { next_hops: Some(finder), .. }) => {
                let finder = finder.clone();
                let answering = async move { finder.answer(&inquiry).await };
                tokio_uring::spawn(later(answering, waiting, freight, interest));
            }
            (Question::Recall(asked), Self { store: Some(Memory::Own(store)), .. }) => {
                waiting.1.push(ticket, Answer::Recalled(store.recall(&asked)));
            }
            (Question::Recall(asked), Self { store: Some(Memory::Shared(shared, _)), .. }) => {
                let shared = shared.clone();
                let answering = async move { shared.recall(&asked).await };
                tokio_uring::spawn(later(answering, waiting, freight, interest));
            }
            (Question::Claims(claims), Self { bank: Some(bank), .. }) => {
                bank.hear(ticket, waiting.1, &claims)
            }
            // Nobody waits for it: without an answer it is done without.
            (Question::Claims(_), _) => {}
            (Question::Learn(lessons), Self { store: Some(store), .. }) => store.learn(&lessons),
            (Question::Quarantine(word), Self { quarantine: Some(store), .. }) => {
                store.hear(ticket, &waiting.1, (word, freight));
            }
            (
                question @ (Question::Client(_)
                | Question::Author(_)
                | Question::Links(_)
                | Question::Seal(_)),
                Self { sender: Some(inquirer), .. },
            ) => {
                let inquirer = inquirer.clone();
                let answering = async move { inquirer.answer(question).await };
                tokio_uring::spawn(later(answering, waiting, freight, interest));
            }
            _ => waiting.1.push(ticket, Answer::Unknown(Unknown::Gone)),
        }
    }

    /// However long it takes: an attempt that nobody waits for any more counts all the same.
    fn look_at(&self, attempt: Attempt, (ticket, answers): Waiting, freight: Freight) {
        let Some(authenticator) = self.authenticators.of(attempt.listener) else {
            return answers.push(ticket, Answer::Unknown(Unknown::Gone));
        };
        tokio_uring::spawn(async move {
            answers.push(ticket, Answer::Auth(look_at(&authenticator, attempt).await));
            drop(freight);
        });
    }
}

/// An answer that takes a while, unless its transaction is over before.
async fn later(
    answering: impl Future<Output = Answer>,
    (ticket, answers): Waiting,
    freight: Freight,
    interest: Interest,
) {
    let answer = interest.while_it_lasts(answering).await;
    answer.into_iter().for_each(|answer| answers.push(ticket, answer));
    drop(freight);
}
