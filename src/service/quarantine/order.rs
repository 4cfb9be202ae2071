//! What an administrator may ask of the running quarantine, from any thread: look, release, delete.
//!
//! Orders wait in a short queue for the service thread. Looking shows descriptions only: what a
//! message says is read from its file by whoever may read that.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_uring::fs::File;
use ulid::Ulid;

use super::folder::{description_name, message_name, part};
use super::index::Unclaimed;
use super::release::{self, Sent};
use super::{Inner, Stats, Store, spool};
use crate::limits::{
    DESCRIPTION_BYTES_MAX, ORDERS_RUNNING_MAX, ORDERS_WAITING_MAX, PAGE_BYTES_HIGH, PAGE_ENTRIES_MAX,
};
use crate::relay::quarantine::{Description, Failure};
use crate::service::notice::say;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The descriptions behind `after`, oldest first.
    List {
        after: Option<Ulid>,
        max: usize,
    },
    Show(Ulid),
    Release(Ulid),
    Delete(Ulid),
}

/// What came of an order, or why nothing did.
pub type Outcome = Result<Value, Refused>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no such entry.
    None,
    /// Somebody is at it already, or too many orders wait.
    Busy,
    /// The next hop did not take it; the entry is as it was.
    NotTaken(String),
    /// The disk, or a description that cannot be read.
    Failed(String),
}

impl Refused {
    /// For people.
    pub fn text(&self) -> &str {
        match self {
            Self::None => "no such message",
            Self::Busy => "busy with it: try again",
            Self::NotTaken(text) | Self::Failed(text) => text,
        }
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure.text)
    }
}

type Waiting = (Order, oneshot::Sender<Outcome>);

/// Where orders are given. May be cloned and sent anywhere.
#[derive(Clone, Debug)]
pub struct Desk {
    orders: mpsc::Sender<Waiting>,
    stats: Arc<Stats>,
    token: Arc<str>,
}

impl Desk {
    /// Gives an order and waits for what comes of it. Once given it is carried out, even if nobody
    /// waits any more.
    pub async fn give(&self, order: Order) -> Outcome {
        let (sender, outcome) = oneshot::channel();
        self.orders.try_send((order, sender)).map_err(|_| Refused::Busy)?;
        outcome.await.unwrap_or(Err(Refused::Busy))
    }

    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Whether `token` is what the folder holds: who can read it there may order here. Looks at all
    /// of it, however early it differs.
    pub fn admits(&self, token: &[u8]) -> bool {
        let ours = self.token.as_bytes();
        let differs = ours.iter().zip(token).fold(0, |differs, (a, b)| differs | (a ^ b));
        ours.len() == token.len() && differs == 0
    }
}

impl Store {
    /// Orders can be given from now on. To be called once, on the service thread.
    pub fn open_desk(&self) -> Desk {
        let (orders, receiver) = mpsc::channel(ORDERS_WAITING_MAX);
        tokio_uring::spawn(self.clone().serve(receiver));
        Desk { orders, stats: self.stats(), token: Arc::clone(&self.0.token) }
    }

    async fn serve(self, mut orders: mpsc::Receiver<Waiting>) {
        let running = Arc::new(Semaphore::new(ORDERS_RUNNING_MAX));
        while let Some((order, outcome)) = orders.recv().await {
            // It is closed by nobody.
            let Ok(permit) = Arc::clone(&running).acquire_owned().await else { return };
            let store = self.clone();
            tokio_uring::spawn(async move {
                // Whoever asked may have gone.
                let _ = outcome.send(store.carry_out(order).await);
                drop(permit);
            });
        }
    }

    pub(super) async fn carry_out(&self, order: Order) -> Outcome {
        match order {
            Order::List { after, max } => self.0.list(after, max).await,
            Order::Show(id) => Ok(json!(self.0.described(id).await?)),
            Order::Release(id) => self.0.claim(id)?.release().await,
            Order::Delete(id) => self.0.claim(id)?.delete().await,
        }
    }
}

/// An entry that nobody else touches meanwhile.
struct Claim<'a> {
    store: &'a Inner,
    id: Ulid,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.store.index.borrow_mut().unclaim(self.id);
    }
}

impl Inner {
    fn claim(&self, id: Ulid) -> Result<Claim<'_>, Refused> {
        match self.index.borrow_mut().claim(id) {
            Ok(()) => Ok(Claim { store: self, id }),
            Err(Unclaimed::None) => Err(Refused::None),
            Err(Unclaimed::Busy) => Err(Refused::Busy),
        }
    }

    async fn described(&self, id: Ulid) -> Result<Description, Refused> {
        Ok(self.described_with_size(id).await?.0)
    }

    async fn described_with_size(&self, id: Ulid) -> Result<(Description, usize), Refused> {
        let name = description_name(id);
        let json = self.disk.read_whole(&name, DESCRIPTION_BYTES_MAX).await?.ok_or(Refused::None)?;
        let description = serde_json::from_slice(&json);
        let description = description.map_err(|error| Refused::Failed(format!("{name}: {error}")))?;
        Ok((description, json.len()))
    }

    async fn list(&self, after: Option<Ulid>, max: usize) -> Outcome {
        let ids = self.index.borrow().page(after, max.clamp(1, PAGE_ENTRIES_MAX));
        let (mut entries, mut bytes, mut last) = (Vec::new(), 0, after);
        for id in ids {
            if bytes >= PAGE_BYTES_HIGH {
                break;
            }
            last = Some(id);
            match self.described_with_size(id).await {
                Ok((description, size)) => {
                    bytes += size;
                    entries.push(json!(description));
                }
                // It was deleted in between.
                Err(Refused::None) => {}
                Err(refused) => entries.push(json!({ "id": id.to_string(), "error": refused.text() })),
            }
        }
        let index = self.index.borrow();
        let next = last.filter(|last| !index.page(Some(*last), 1).is_empty()).map(|id| id.to_string());
        Ok(json!({
            "entries": entries,
            "next": next,
            "total": index.len(),
            "bytes": index.used(),
            "bytes_under_way": index.reserved(),
            "bytes_max": index.bytes_max(),
        }))
    }
}

impl Claim<'_> {
    async fn delete(self) -> Outcome {
        let described = self.store.described(self.id).await.ok();
        self.store.remove(self.id).await?;
        self.store.disk.sync_folder().await?;
        self.store.stats.deleted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        say(format_args!("quarantine: {} is deleted by order", self.id));
        Ok(json!({ "deleted": self.id.to_string(), "description": described }))
    }

    /// Sends it on; what the next hop took goes from here, the rest stays.
    async fn release(self) -> Outcome {
        let mut description = self.store.described(self.id).await?;
        let name = message_name(self.id);
        let file: File = self.store.disk.open(&name).await?.ok_or(Refused::None)?;
        let message =
            release::Message { disk: &self.store.disk, file: &file, name: &name, size: description.size };
        let sent = release::send(&self.store.next_hops, &description, &message).await;
        let sent = sent.map_err(|why| {
            say(format_args!("quarantine: {} is not released: {why}", self.id));
            Refused::NotTaken(why)
        })?;
        say(format_args!("quarantine: {} is released to {}: {}", self.id, sent.server, sent.reply));
        let rest: Vec<String> =
            sent.refused.iter().map(|(n, _)| description.envelope.recipients[*n].address.clone()).collect();
        let kept = self.settle(&mut description, &sent).await.err();
        Ok(json!({
            "released": self.id.to_string(),
            "server": sent.server.to_string(),
            "reply": sent.reply,
            "refused": refused_json(&rest, &sent),
            "kept": kept.map(|failure| failure.text).or_else(|| (!rest.is_empty()).then(|| "for the recipients refused".to_owned())),
        }))
    }

    /// Deletes the entry, or leaves it to those recipients who did not get it.
    async fn settle(&self, description: &mut Description, sent: &Sent) -> Result<(), Failure> {
        self.store.stats.released.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if sent.refused.is_empty() {
            self.store.remove(self.id).await?;
            return self.store.disk.sync_folder().await;
        }
        let mut number = 0;
        description.envelope.recipients.retain(|_| {
            number += 1;
            sent.refused.iter().any(|(n, _)| *n == number - 1)
        });
        let (name, disk) = (description_name(self.id), &self.store.disk);
        let part = part(&name);
        disk.remove(&part).await?;
        self.store.write_new(&part, spool::json(description)?).await?;
        disk.rename(&part, &name).await?;
        disk.sync_folder().await
    }
}

fn refused_json(addresses: &[String], sent: &Sent) -> Vec<Value> {
    let pairs = addresses.iter().zip(&sent.refused);
    pairs.map(|(address, (_, reply))| json!({ "address": address, "reply": reply })).collect()
}
