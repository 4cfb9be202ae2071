//! A name server of the test's own: one zone, over UDP on loopback.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::{RData, Record, RecordType};

/// What becomes of a question.
#[derive(Clone, Debug)]
pub(crate) enum Reaction {
    Records(Vec<RData>),
    NoData,
    NotFound,
    Failure,
    Silence,
}

#[derive(Debug)]
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    heard: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl NameServer {
    /// `zone` is asked for a name in lower case without its final dot. Answers may be kept.
    pub(crate) fn start(zone: impl Fn(&str, RecordType) -> Reaction + Send + 'static) -> Self {
        Self::start_with(300, zone)
    }

    /// The same; what was answered holds for so many seconds.
    pub(crate) fn start_with(ttl: u32, zone: impl Fn(&str, RecordType) -> Reaction + Send + 'static) -> Self {
        let socket = UdpSocket::bind((super::loopback(), 0)).unwrap();
        let address = socket.local_addr().unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let (heard, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, end) = (Arc::clone(&heard), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut packet = [0; 4096];
            while !end.load(Ordering::Relaxed) {
                let Ok((len, peer)) = socket.recv_from(&mut packet) else { continue };
                count.fetch_add(1, Ordering::Relaxed);
                if let Some(reply) = answer(&packet[..len], ttl, &zone) {
                    socket.send_to(&reply, peer).unwrap();
                }
            }
        });
        Self { address, heard, stop, thread: Some(thread) }
    }

    /// Questions so far.
    pub(crate) fn heard(&self) -> usize {
        self.heard.load(Ordering::Relaxed)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // A zone that panicked has said so.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn answer(packet: &[u8], ttl: u32, zone: &impl Fn(&str, RecordType) -> Reaction) -> Option<Vec<u8>> {
    let asked = Message::from_vec(packet).ok()?;
    let query = asked.queries.first()?.clone();
    let name = query.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
    let mut reply = Message::response(asked.metadata.id, OpCode::Query);
    reply.metadata.recursion_available = true;
    // RFC 6840 §5.8: said to those only who ask for it.
    let is_understood = asked.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok);
    reply.metadata.authentic_data = is_understood || asked.metadata.authentic_data;
    reply.add_query(query.clone());
    match zone(&name, query.query_type()) {
        Reaction::Records(records) => {
            let record = |data| Record::from_rdata(query.name().clone(), ttl, data);
            reply.add_answers(records.into_iter().map(record).collect::<Vec<_>>());
        }
        Reaction::NoData => {}
        Reaction::NotFound => reply.metadata.response_code = ResponseCode::NXDomain,
        Reaction::Failure => reply.metadata.response_code = ResponseCode::ServFail,
        Reaction::Silence => return None,
    }
    reply.to_vec().ok()
}
