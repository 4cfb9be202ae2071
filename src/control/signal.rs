//! Signals: TERM and INT ask for a drain and, the second time, for a stop; HUP opens the log anew and
//! reads certificates again.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::boot::Notice;
use crate::service::event_log;

/// Begins to listen; must be called on the service thread.
///
/// # Errors
/// When a handler cannot be installed.
pub fn listen(notices: &Sender<Notice>, log: &Arc<event_log::Shared>) -> io::Result<()> {
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        tokio::spawn(forward(signal(kind)?, notices.clone()));
    }
    tokio::spawn(renew(signal(SignalKind::hangup())?, notices.clone(), Arc::clone(log)));
    Ok(())
}

async fn forward(mut signal: Signal, notices: Sender<Notice>) {
    while signal.recv().await.is_some() {
        if notices.send(Notice::Signal).is_err() {
            return;
        }
    }
}

async fn renew(mut signal: Signal, notices: Sender<Notice>, log: Arc<event_log::Shared>) {
    while signal.recv().await.is_some() {
        log.reopen();
        if notices.send(Notice::Reload(None)).is_err() {
            return;
        }
    }
}
