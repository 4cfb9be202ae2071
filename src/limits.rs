//! Every bound of the product in one place, in bytes, milliseconds or counts as the name says.
//!
//! What an administrator may change lives in the configuration; what protects the program from
//! its peers lives here.

/// Longest command line we take, CRLF included. RFC 5321 §4.5.3.1.4 asks for 512; extensions
/// (SIZE, DSN, SMTPUTF8, AUTH) add to it, so 2048 leaves room for all that exist together.
pub const COMMAND_LINE_BYTES_MAX: usize = 2048;
/// Longest line in answer to a challenge of AUTH, CRLF included (RFC 4954 §4). The command itself is one like
/// all others.
pub const AUTH_LINE_BYTES_MAX: usize = 12_288;
/// Longest reply line we take from a next hop, CRLF included (RFC 5321 §4.5.3.1.5 says 512).
pub const REPLY_LINE_BYTES_MAX: usize = 2048;
/// Lines one reply may have.
pub const REPLY_LINES_MAX: usize = 128;
/// Longest line we ever send in a reply, CRLF included (RFC 5321 §4.5.3.1.5).
pub const REPLY_LINE_SENT_BYTES_MAX: usize = 512;
/// XFORWARD and XCLIENT command lines stay within this (Postfix XFORWARD_README).
pub const XFORWARD_LINE_BYTES_MAX: usize = 512;
/// RFC 5321 §4.5.3.1.1.
pub const LOCAL_PART_BYTES_MAX: usize = 64;
/// RFC 5321 §4.5.3.1.2.
pub const DOMAIN_BYTES_MAX: usize = 255;
/// RFC 5321 §4.5.3.1.3, the angle brackets included.
pub const PATH_BYTES_MAX: usize = 256;
/// PROXY protocol v1 line (its specification, section 2.1) with CRLF.
pub const PROXY_V1_LINE_BYTES_MAX: usize = 107;
/// PROXY protocol v2 header we accept: the fixed part, addresses and TLVs.
pub const PROXY_V2_HEADER_BYTES_MAX: usize = 1024;

// Memory of one worker. What follows bounds each holder; `worker_memory` is the sum.

/// A session beside its transaction: both parsers' states, the address, names, counters, timers.
pub const SESSION_BYTES_MAX: usize = 2048;
/// Replies that wait to be sent to one client; more, and we stop reading commands.
pub const REPLIES_PENDING_BYTES_MAX: usize = 32 * 1024;
/// Commands that a client sent ahead and that wait for their turn; more, and we stop reading.
pub const INPUT_BYTES_HIGH: usize = 32 * 1024;
/// Content on its way through one transaction beyond its window: what one side gave and the other
/// has not yet taken.
pub const CONTENT_IN_FLIGHT_BYTES_MAX: usize = UNSENT_BYTES_HIGH + HELD_BYTES_HIGH + 2 * RECEIVE_BUFFER_BYTES;
/// Bytes on the way to the next hop above which no more content is queued behind them.
pub const UNSENT_BYTES_HIGH: usize = 64 * 1024;
/// Content that waits behind them (a little more than what goes up at a time) before the client is not read any more.
pub const HELD_BYTES_HIGH: usize = 80 * 1024;
/// The same once it streams, and what could go up has gone: with one more step of receiving it fits into
/// one buffer.
pub const FLOW_BYTES_HIGH: usize = 32 * 1024;
/// One receive buffer of the reactor: what one completion brings at most.
pub const RECEIVE_BUFFER_BYTES: usize = 64 * 1024;
/// How many of them there are.
pub const RECEIVE_BUFFERS: usize = 4;
/// What one recipient may make us remember: its path, its parameters and the next hop's reply.
pub const RECIPIENT_BYTES_MAX: usize = COMMAND_LINE_BYTES_MAX + REPLY_LINE_SENT_BYTES_MAX;
/// The reactor's receive buffers.
pub const RECEIVE_BUFFERS_BYTES: usize = RECEIVE_BUFFERS * RECEIVE_BUFFER_BYTES;
/// Empty buffers a worker keeps of each kind, and the capacity of the largest that is kept.
pub const SPARE_BUFFERS_MAX: usize = 12;
pub const SPARE_GROWN_BYTES_MAX: usize = 256 * 1024;
/// Batches of records between all workers and the event log.
pub const RECORD_BATCHES_MAX: usize = 1024;
/// Bytes at which a worker hands a batch of records over.
pub const RECORD_BATCH_BYTES_MAX: usize = 64 * 1024;

/// Octets of content that one worker has on their way to the service, of all questions together.
pub const ASKED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What one inquiry about who sends takes on the service side while the DNS is asked.
pub const INQUIRY_BYTES: usize = 4096;

/// The largest window where there is a quarantine: what is held whole goes there in one piece.
pub const WINDOW_KEPT_BYTES_MAX: usize = 15 * 1024 * 1024;
const _: () = assert!(WINDOW_KEPT_BYTES_MAX + CONTENT_IN_FLIGHT_BYTES_MAX <= ASKED_BYTES_MAX);

// What facts of one message hold. FACTS_BYTES_MAX bounds the text of all of them.

pub const FACT_ATTACHMENTS_MAX: usize = 256;
pub const FACT_URLS_MAX: usize = 512;
pub const FACT_SIGNATURES_MAX: usize = 16;
/// Names in each of `message.defects`, `limits`, `tricks` and `cut`.
pub const FACT_NAMES_MAX: usize = 128;
/// Header fields that rules may ask for by name.
pub const FACT_HEADERS_MAX: usize = 32;
/// Bytes kept of one header field, repeated ones together.
pub const FACT_HEADER_BYTES_MAX: usize = 1024;
/// Bytes kept of a file's name: its end, for that says what the file is.
pub const FACT_FILE_NAME_BYTES_MAX: usize = 255;
/// Bytes kept of all other texts, and of each of a URL's three.
pub const FACT_TEXT_BYTES_MAX: usize = 255;
/// Text of all attachments, URLs, symbols and header fields of one message.
pub const FACTS_BYTES_MAX: usize = 64 * 1024;
/// Different symbols of one message.
pub const SYMBOLS_MAX: usize = 256;

// Rules, scores and lists of one configuration.

/// Rules of one configuration.
pub const RULES_MAX: usize = 256;
/// Characters of a rule's reply, the enhanced code included: with the decision id it is one line.
pub const RULE_REPLY_BYTES_MAX: usize = 400;
/// Bytes of a rule's condition.
pub const WHEN_BYTES_MAX: usize = 4096;
/// Expressions within expressions.
pub const WHEN_DEPTH_MAX: usize = 64;
/// Loops within loops.
pub const LOOP_DEPTH_MAX: usize = 2;
/// Elements of lists that one evaluation may visit.
pub const VISITS_MAX: u32 = 20_000;
/// Groups of one configuration, and names in all of them together.
pub const SCORE_GROUPS_MAX: usize = 32;
pub const SCORE_GROUP_NAMES_MAX: usize = 256;
/// No score and no threshold is beyond this.
pub const SCORE_MAX: f64 = 1000.0;
/// Entries of all lists.
pub const LIST_ENTRIES_MAX: usize = 4_000_000;
/// Bytes of one list's file.
pub const LIST_FILE_BYTES_MAX: usize = 128 << 20;
/// Bytes of one entry of a list.
pub const LIST_ENTRY_BYTES_MAX: usize = 512;

// What relay and service hold.

/// Most octets our Received field can have, so that SIZE can be forwarded honestly (RFC 1870 §6.1).
pub const TRACE_FIELD_BYTES_MAX: u64 = 1536;
/// Content that one message may have on its way to the store; more, and its client is not read.
pub const SPOOL_UNANSWERED_BYTES_HIGH: usize = 128 * 1024;
/// Words of the same, however short they are.
pub const SPOOL_UNANSWERED_WORDS_HIGH: usize = 16;
/// The description of a message that is kept is read up to here: many recipients make it long.
pub const DESCRIPTION_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Entries of the quarantine, whatever its bound in bytes: each takes a place in memory and a look at start.
pub const QUARANTINE_ENTRIES_MAX: usize = 500_000;
/// Messages that are being stored at a time; more are told to come again.
pub const SPOOLS_MAX: usize = 256;
/// Words of one message that wait to be written. Its relay stops long before.
pub const SPOOL_WORDS_WAITING_MAX: usize = 256;
/// Orders of administrators that wait, and orders that are carried out at a time.
pub const ORDERS_WAITING_MAX: usize = 64;
pub const ORDERS_RUNNING_MAX: usize = 8;
/// Entries on one page of the quarantine, and bytes of descriptions at which no other one is read for it.
pub const PAGE_ENTRIES_MAX: usize = 100;
pub const PAGE_BYTES_HIGH: usize = 1024 * 1024;

/// What stands for a key in the ledger of what is remembered.
pub const LEDGER_KEY_BYTES: usize = 16;
/// Recipients of one message that its first contact is remembered for.
pub const CONTACT_RECIPIENTS_MAX: usize = 32;
/// Recipients of one message of ours that become known correspondents.
pub const CORRESPONDENTS_LEARNT_MAX: usize = 100;
/// Keys that one inquiry may ask for: three identities, each by itself and with each recipient, and the
/// author, alone, with each recipient, and its domain.
pub const RECALL_KEYS_MAX: usize = 3 * (1 + CONTACT_RECIPIENTS_MAX) + 2 + CONTACT_RECIPIENTS_MAX;
/// Changes that are written to the store together, and keys that wait for that beside those of entries.
pub const STORE_BATCH_MAX: usize = 4096;
pub const STORE_WAITING_MAX: usize = 64 * STORE_BATCH_MAX;
/// Batches on their way to the disk.
pub const STORE_BATCHES_MAX: usize = 2;
/// Questions to a store that is shared that are under way at a time; more wait for their turn.
pub const SHARED_UNDER_WAY_MAX: usize = 128;
/// What such a store may say, in octets, behind each thing that it was told.
pub const SHARED_ANSWER_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The longest text of an entry there, with what the protocol puts around it.
pub const SHARED_ENTRY_BYTES_MAX: usize = 80;
/// Lessons that are put together there, and lessons that wait for that, some 64 bytes each.
pub const SHARED_BATCH_MAX: usize = 256;
pub const SHARED_LESSONS_MAX: usize = 64 * 1024;
/// Clients of one worker whose replies are held back; more, and nobody else's are.
pub const TARPITS_MAX: usize = 2000;

/// What is remembered of one address that connected, its share of its network's neighbours included.
pub const CONDUCT_ENTRY_BYTES: usize = 36;
/// Transactions that wait for a connection to one next hop, in one worker; more, and somebody is sent away.
pub const WAITERS_MAX: usize = 16_384;
/// Limits of one configuration.
pub const LIMITS_MAX: usize = 64;
/// Tokens of a limit are lent in blocks: each worker has this part of its own share of the burst at a time.
pub const LIMIT_BLOCKS: u64 = 16;
/// And never more than this, whatever the burst is.
pub const LIMIT_BLOCK_MAX: u64 = 1 << 30;
/// So few tokens may all come to one worker before it has heard what the others did.
pub const LIMIT_FEW: u64 = 10;
/// Claims of one worker that wait for their way to the bank; more, and keys are asked for when they come again.
pub const CLAIMS_WAITING_MAX: usize = 65_536;
/// Claims that go there together.
pub const CLAIMS_PER_QUESTION_MAX: usize = 4096;
/// Alerts of one worker that wait with them; more are not told.
pub const ALERTS_WAITING_MAX: usize = 1024;

// Sums.

/// How much an administrator allows one worker.
#[derive(Clone, Copy, Debug)]
pub struct WorkerSize {
    pub connections: usize,
    pub window_budget: usize,
    pub recipients: usize,
    /// The maxima of all pools together.
    pub upstream_connections: usize,
    /// Addresses whose conduct is remembered.
    pub conduct_entries: usize,
}

/// Who holds memory, how many of what, and how much that is at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    pub name: &'static str,
    pub count: usize,
    pub each: usize,
}

impl Holder {
    pub const fn bytes(&self) -> usize {
        self.count.saturating_mul(self.each)
    }
}

/// Every holder of one worker's memory at its worst; the sum is the worker's bound.
///
/// An envelope exists only together with an upstream connection (the first acceptable recipient
/// checks one out), so pools bound the envelopes, not client connections.
pub const fn worker_memory(size: WorkerSize) -> [Holder; 10] {
    let upstream = size.upstream_connections;
    let reply = REPLY_LINES_MAX * REPLY_LINE_BYTES_MAX;
    [
        Holder { name: "sessions", count: size.connections, each: SESSION_BYTES_MAX },
        Holder {
            name: "commands and replies under way",
            count: size.connections,
            each: INPUT_BYTES_HIGH + REPLIES_PENDING_BYTES_MAX,
        },
        Holder { name: "windows", count: 1, each: size.window_budget },
        Holder { name: "content in flight", count: upstream, each: CONTENT_IN_FLIGHT_BYTES_MAX },
        Holder {
            name: "recipients of transactions",
            count: upstream.saturating_mul(size.recipients),
            each: RECIPIENT_BYTES_MAX,
        },
        Holder { name: "replies of next hops", count: upstream, each: reply },
        Holder { name: "copies on their way to quarantine", count: 1, each: ASKED_BYTES_MAX },
        Holder { name: "conduct of clients", count: size.conduct_entries, each: CONDUCT_ENTRY_BYTES },
        Holder { name: "receive buffers", count: 1, each: RECEIVE_BUFFERS_BYTES },
        // One of each kind; the three smaller ones together stay below the largest.
        Holder { name: "spare buffers", count: SPARE_BUFFERS_MAX, each: 2 * SPARE_GROWN_BYTES_MAX },
    ]
}

/// Descriptors of one worker: its connections, those to next hops that said QUIT once more,
/// listeners, ring and waker.
pub const fn worker_descriptors(size: WorkerSize, listeners: usize) -> usize {
    size.connections + 2 * size.upstream_connections + listeners + 16
}

/// Descriptors of the process beside its workers: standard streams, log, admin plane, runtime; messages that are
/// being written to quarantine; questions of the DNS; policies that are fetched.
pub const PROCESS_DESCRIPTORS: usize = 128 + 256 + 1024 + 64;

const _: () = assert!(AUTH_LINE_BYTES_MAX < INPUT_BYTES_HIGH); // else it would never be whole
const _: () =
    assert!(SHARED_UNDER_WAY_MAX * RECALL_KEYS_MAX * SHARED_ENTRY_BYTES_MAX <= SHARED_ANSWER_BYTES_MAX);
const _: () = assert!(PATH_BYTES_MAX <= COMMAND_LINE_BYTES_MAX); // a recipient's path is in its command
