//! From a configuration to running workers, and from there to the end of the process.
//!
//! The main thread starts the event log, the service thread and the workers, in that order, and
//! then only waits: for signals, for the admin plane, for workers that end. So the end of the
//! process is decided in one place.
//!
//! Invariant: the process ends with success only if every worker ended because it was told to.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::Builder;
use std::time::Duration;

use tokio::sync::oneshot;

use super::admin::{Admin, Phase, State};
use super::config::{MEANT_FROM, Rejected, certificates};
use super::{descriptors, quarantine_command, signal};
use crate::limits::{RECEIVE_BUFFER_BYTES, RECEIVE_BUFFERS};
use crate::policy::settings::{Config, Cpus, Upstream};
use crate::reactor::cpu::{self, Place};
use crate::reactor::uring::{Uring, UringConfig};
use crate::reactor::{Reactor, memory};
use crate::service;
use crate::service::answer::{self, Answerers, Authenticators};
use crate::service::bank::{self, Bank};
use crate::service::dns::Resolver;
use crate::service::event_log::{self, EventLog};
use crate::service::lender::Lender;
use crate::service::mx::Finder;
use crate::service::notice::say;
use crate::service::quarantine::order::Desk;
use crate::service::quarantine::{NextHops, Store};
use crate::service::sender::Inquirer;
use crate::service::{store, watch};
use crate::tls::server_policy::ServerPolicy;
use crate::traffic::table::Seed;
use crate::worker::ask::{Asked, Asker, QuestionQueue};
use crate::worker::control::{Handle, Order, Ready, Setup, Started, Wake};
use crate::worker::counters::Counters;
use crate::worker::{Parts, Worker};

/// How long after its own deadline a worker may still take to end.
const GRACE: Duration = Duration::from_secs(5);
/// How long the start waits for next hops that do not answer.
const WARM_UP: Duration = Duration::from_secs(2);

/// What the main thread waits for.
#[derive(Debug)]
pub enum Notice {
    /// TERM or INT.
    Signal,
    /// The admin plane said so.
    Ordered(Order),
    /// Certificates are to be read again; whoever asked hears what came of it.
    Reload(Option<oneshot::Sender<Reloaded>>),
    WorkerEnded {
        worker: usize,
        panicked: bool,
    },
}

/// How many listeners have new certificates, or why all go on with what they had.
pub type Reloaded = Result<usize, Rejected>;

/// Runs until told to end. The exit code is the program's. Certificates are read again from beside
/// `path`, if the configuration came from there.
pub fn run(mut config: Config, path: Option<&Path>) -> ExitCode {
    let started = cpus(&config).and_then(|cpus| {
        share_limits(&mut config, cpus.len());
        start(Arc::new(config), path, cpus)
    });
    match started {
        Ok(running) => running.supervise(),
        Err(message) => {
            say(format_args!("{message}"));
            ExitCode::from(1)
        }
    }
}

/// All workers of this process, and of all machines that share a store, share its limits, and count under keys that
/// nobody else can make.
fn share_limits(config: &mut Config, workers: usize) {
    config.policy.limits.workers = workers as u64;
    let secret = config.store.shared.as_ref().map_or_else(|| fastrand::u128(..), |shared| shared.secret());
    config.policy.limits.seed = Seed::new(secret);
}

/// The CPUs that get a worker, in the order of the workers.
///
/// # Errors
/// When a CPU of the configuration is not ours to run on.
pub fn cpus(config: &Config) -> Result<Vec<Place>, String> {
    let chosen = chosen(&config.workers.cpus, &cpu::ours(), cpu::paid())?;
    if chosen.is_empty() { Err("the system names no CPU to run on".to_owned()) } else { Ok(chosen) }
}

/// Of `ours`, whose order is that in which they get work; `paid` is how many of them a quota pays for. More
/// workers than that would only be stopped by it in the middle of a turn. A list is taken as it is: who
/// writes one knows.
fn chosen(wanted: &Cpus, ours: &[Place], paid: usize) -> Result<Vec<Place>, String> {
    let find = |cpu: &usize| {
        ours.iter().find(|place| place.cpu == *cpu).copied().ok_or_else(|| {
            let mut ids: Vec<_> = ours.iter().map(|place| place.cpu).collect();
            ids.sort_unstable();
            let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
            format!("workers.cpus: CPU {cpu} is not ours to run on (we have {})", ids.join(", "))
        })
    };
    Ok(match wanted {
        Cpus::Auto => ours.iter().take(paid).copied().collect(),
        Cpus::Cores => cpu::one_each_core(ours).into_iter().take(paid).collect(),
        Cpus::List(list) => list.iter().map(find).collect::<Result<_, _>>()?,
    })
}

fn start(config: Arc<Config>, path: Option<&Path>, cpus: Vec<Place>) -> Result<Running, String> {
    // A huge page holds thirty sessions' memory for the sake of one: bounds would be off by that.
    memory::refuse_huge_pages();
    let config = descriptors::settle(config, cpus.len());
    let EventLog { queue, shared, thread: log_thread } = event_log::start(&config.records)?;
    // A store that is shared may be there for limits alone.
    let shares_limits = config.store.shared.is_some() && !config.policy.limits.is_empty();
    let mut opened = (config.remembers() || shares_limits).then(|| store::open(&config.store));
    let store_end = opened.as_mut().and_then(|opened| opened.end.take());
    let (notices, inbox) = mpsc::channel();
    let counters: Vec<_> = cpus.iter().map(|_| Arc::new(Counters::of(&config))).collect();
    let phase = Arc::new(Phase::default());
    let (questions, asked) = QuestionQueue::new();
    let bank = Bank::stats(&config.policy.limits, shares_limits);
    let basis =
        Basis { config: Arc::clone(&config), log: shared, asked, notices: notices.clone(), opened, bank };
    start_service(basis, counters.clone(), Arc::clone(&phase))?;

    let (ready, started) = mpsc::channel();
    let mut orders = Vec::new();
    for (index, (place, counters)) in cpus.iter().zip(counters).enumerate() {
        let (sender, receiver) = mpsc::channel();
        orders.push(sender);
        let (config, records, questions) = (Arc::clone(&config), queue.clone(), questions.clone());
        let ready = Ready::new(ready.clone());
        let setup = Setup { index, config, counters, records, questions, orders: receiver, ready };
        start_worker(place.cpu, setup, notices.clone())?;
    }
    // From here on only workers hold these: a worker that ends silently ends the wait below, and
    // the last one to end ends the log.
    drop((ready, queue, questions));
    let workers = await_workers(orders, &started)?;
    phase.set(Phase::SERVING);
    say(format_args!("serving on {}", addresses(&config)));
    let path = path.map(Path::to_path_buf);
    Ok(Running { config, path, workers, inbox, phase, log_thread, store_end })
}

/// What the service thread begins with.
struct Basis {
    config: Arc<Config>,
    log: Arc<event_log::Shared>,
    asked: tokio::sync::mpsc::Receiver<Asked>,
    notices: Sender<Notice>,
    opened: Option<store::Opened>,
    /// What the bank of tokens counts.
    bank: Arc<bank::Stats>,
}

/// The service thread: signals, answers to workers and, if configured, the admin plane.
fn start_service(basis: Basis, counters: Vec<Arc<Counters>>, phase: Arc<Phase>) -> Result<(), String> {
    let (ready, started) = mpsc::channel();
    service::start(move || async move {
        tokio_uring::spawn(watch::accepts(counters.clone()));
        let (config, log, notices) =
            (Arc::clone(&basis.config), Arc::clone(&basis.log), basis.notices.clone());
        let stats = basis.opened.as_ref().map(|opened| Arc::clone(&opened.stats));
        let bank = Arc::clone(&basis.bank);
        let begun = begin_service(basis).await;
        // The starter waits for this one word.
        let _ = ready.send(begun.as_ref().err().cloned());
        match begun {
            Ok((Some(admin), desk)) => {
                admin.serve(State::new(config, counters, log, notices, phase, desk, stats, bank)).await;
            }
            Ok((None, _)) => std::future::pending().await,
            Err(_) => {}
        }
    })?;
    match started.recv() {
        Ok(None) => Ok(()),
        Ok(Some(message)) => Err(message),
        Err(mpsc::RecvError) => Err("the service thread ended at its start".to_owned()),
    }
}

/// What runs beside the admin plane, which is bound last: who can ask it finds all the rest there.
async fn begin_service(basis: Basis) -> Result<(Option<Admin>, Option<Desk>), String> {
    let Basis { config, log, asked, notices, opened, bank } = basis;
    signal::listen(&notices, &log).map_err(|error| format!("signals: {error}"))?;
    let resolver = resolver(&config)?;
    let both = config.sender.clone().zip(resolver.clone());
    let sender = both.map(|(settings, resolver)| Inquirer::new(settings, resolver));
    let is_looked_up = config.upstreams.iter().any(Upstream::is_looked_up);
    let resolver = resolver.filter(|_| is_looked_up);
    let next_hops = resolver.map(|resolver| Finder::new(Arc::clone(&config), resolver));
    let store = match quarantine_command::settings(&config) {
        Some(settings) => {
            let told = |error| format!("{error} ({MEANT_FROM})");
            Some(Store::open(&settings, NextHops::new(&config, next_hops.clone())).map_err(told)?)
        }
        None => None,
    };
    let desk = store.as_ref().map(Store::open_desk);
    if let Some(store) = store.clone() {
        tokio_uring::spawn(store.keep_house());
    }
    let authenticators = Authenticators::new(&config)?;
    let remembered = match opened {
        Some(opened) => Some(store::Memory::begin(opened).await),
        None => None,
    };
    let bank = bank_of(&config, remembered.as_ref(), &bank);
    let answerers =
        Answerers { quarantine: store, sender, next_hops, store: remembered, authenticators, bank };
    tokio_uring::spawn(answer::serve(asked, answerers));
    let admin = match config.admin {
        Some(address) => Some(Admin::bind(address).await?),
        None => None,
    };
    Ok((admin, desk))
}

/// The bank of tokens; a tenant of the store, where that is shared.
fn bank_of(config: &Config, remembered: Option<&store::Memory>, stats: &Arc<bank::Stats>) -> Option<Bank> {
    let limits = &config.policy.limits;
    if limits.is_empty() {
        return None;
    }
    let shared =
        config.store.shared.as_ref().zip(remembered.and_then(store::Memory::redis)).zip(stats.store());
    let lender = shared.map(|((settings, redis), stats)| {
        Lender::new(redis, &limits.iter().collect::<Vec<_>>(), settings.machines, stats)
    });
    Some(Bank::new(limits, stats, lender))
}

/// One for all who ask the DNS, if anybody does: they share what it remembers.
fn resolver(config: &Config) -> Result<Option<Arc<Resolver>>, String> {
    let is_asked = config.sender.is_some() || config.upstreams.iter().any(Upstream::is_looked_up);
    let settings = config.sender.as_deref().cloned().unwrap_or_default();
    is_asked.then(|| Resolver::of(&settings).map(Arc::new)).transpose()
}

/// Starts the thread of one worker, pinned to its CPU; what it allocates is near to that.
fn start_worker(cpu: usize, setup: Setup, notices: Sender<Notice>) -> Result<(), String> {
    let worker = setup.index;
    let ended = Ended { worker, notices };
    let main = move || {
        let _ended = ended;
        if !cpu::pin(cpu) {
            say(format_args!("worker {worker} could not be pinned to CPU {cpu}"));
        }
        worker_main(setup);
    };
    match Builder::new().name(format!("worker-{worker}")).spawn(main) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("worker {worker} cannot start: {error}")),
    }
}

/// Everything from the ring to the last session.
///
/// It says `setup.ready` once its listeners are open (with its reactor's waker) or cannot be, and
/// returns when it has drained or stopped.
fn worker_main(setup: Setup) {
    let Setup { index, config, counters, records, questions, orders, ready } = setup;
    let rings = UringConfig {
        buffer_count: u16::try_from(RECEIVE_BUFFERS).unwrap_or(u16::MAX),
        buffer_bytes: u32::try_from(RECEIVE_BUFFER_BYTES).unwrap_or(u32::MAX),
        ..UringConfig::default()
    };
    let reactor = match Uring::new(rings) {
        Ok(reactor) => reactor,
        Err(unsupported) => return ready.say(index, Err(unsupported.to_string())),
    };
    let waker = reactor.waker();
    let wake = Wake::new(move || waker.wake());
    let asker = Asker::new(index, reactor.now().instant, questions, wake.clone());
    let seed = fastrand::u64(..);
    let parts = Parts { config: Arc::clone(&config), index, seed, counters, records, asker, orders };
    let mut worker = Worker::new(reactor, parts);
    // What we announce follows from what the next hops announce: ask them before anyone asks us.
    worker.warm_up(WARM_UP);
    match listen(&mut worker, &config) {
        Ok(()) => ready.say(index, Ok(wake)),
        Err(message) => return ready.say(index, Err(message)),
    }
    worker.run();
}

fn listen(worker: &mut Worker<Uring>, config: &Config) -> Result<(), String> {
    for (index, listener) in config.listeners.iter().enumerate() {
        for address in &listener.addresses {
            let opened = worker.reactor_mut().listen(*address);
            opened.map_err(|error| format!("listener {:?}: {address}: {error}", listener.name))?;
            worker.add_listener(index);
        }
    }
    Ok(())
}

/// Tells the main thread that a worker's thread is over, however that came.
struct Ended {
    worker: usize,
    notices: Sender<Notice>,
}

impl Drop for Ended {
    fn drop(&mut self) {
        let panicked = std::thread::panicking();
        // Without a main thread the process is ending anyway.
        let _ = self.notices.send(Notice::WorkerEnded { worker: self.worker, panicked });
    }
}

/// Waits until every worker listens.
fn await_workers(orders: Vec<Sender<Order>>, started: &Receiver<Started>) -> Result<Vec<Handle>, String> {
    let mut wakes: Vec<_> = orders.iter().map(|_| None).collect();
    for _ in &orders {
        let (worker, result) = started.recv().map_err(|_| "a worker ended at its start".to_owned())?;
        wakes[worker] = Some(result?);
    }
    Ok(orders.into_iter().zip(wakes).filter_map(|(orders, wake)| Some(Handle::new(orders, wake?))).collect())
}

fn addresses(config: &Config) -> String {
    let all = config.listeners.iter().flat_map(|listener| &listener.addresses);
    all.map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    No,
    Draining,
    Stopping,
}

/// Everything that runs, as the main thread holds it.
#[derive(Debug)]
struct Running {
    config: Arc<Config>,
    path: Option<PathBuf>,
    workers: Vec<Handle>,
    inbox: Receiver<Notice>,
    phase: Arc<Phase>,
    log_thread: Option<std::thread::JoinHandle<()>>,
    store_end: Option<store::End>,
}

impl Running {
    fn supervise(self) -> ExitCode {
        let (mut ending, mut alive, mut failed) = (Ending::No, self.workers.len(), false);
        while alive > 0 {
            match self.next(ending) {
                Some(Notice::WorkerEnded { worker, panicked }) => {
                    alive -= 1;
                    failed |= panicked || ending == Ending::No;
                    if failed {
                        say(format_args!("worker {worker} ended by a fault"));
                    }
                    ending = self.order(ending, Order::Drain);
                }
                Some(Notice::Ordered(order)) => ending = self.order(ending, order),
                Some(Notice::Reload(asked)) => self.reload(asked),
                Some(Notice::Signal) => ending = self.order(ending, on_signal(ending)),
                None if ending == Ending::Stopping => {
                    say(format_args!("{alive} workers do not end"));
                    return ExitCode::from(70);
                }
                None => ending = self.order(ending, Order::Stop),
            }
        }
        if let Some(end) = &self.store_end {
            end.wait(GRACE);
        }
        self.finish_log();
        ExitCode::from(if failed { 70 } else { 0 })
    }

    /// New sessions get the certificates that are there now.
    fn reload(&self, asked: Option<oneshot::Sender<Reloaded>>) {
        let reloaded = self.read_certificates().map(|policies| {
            let renewed = policies.iter().flatten().count();
            let policies: Arc<[_]> = policies.into();
            for worker in &self.workers {
                worker.send(Order::Certificates(Arc::clone(&policies)));
            }
            renewed
        });
        match &reloaded {
            Ok(renewed) => say(format_args!("certificates of {renewed} listeners were read again")),
            Err(rejected) => {
                say(format_args!("certificates were not replaced, those in use stay:\n{rejected}"));
            }
        }
        // Who asked may have gone.
        let _ = asked.map(|asked| asked.send(reloaded));
    }

    fn read_certificates(&self) -> Result<Vec<Option<ServerPolicy>>, Rejected> {
        match &self.path {
            Some(path) => certificates(path, &self.config),
            None => Err(Rejected(vec!["a built-in configuration has no files to read again".to_owned()])),
        }
    }

    /// The next notice, or `None` when an ending takes longer than it may.
    fn next(&self, ending: Ending) -> Option<Notice> {
        let patience = match ending {
            Ending::No => return self.inbox.recv().ok(),
            Ending::Draining => self.config.workers.timeout.drain + GRACE,
            Ending::Stopping => GRACE,
        };
        self.inbox.recv_timeout(patience).ok()
    }

    /// Passes `order` on if it goes further than what was ordered before.
    fn order(&self, ending: Ending, order: Order) -> Ending {
        let next = match (ending, &order) {
            (Ending::No, Order::Drain) => Ending::Draining,
            (Ending::No | Ending::Draining, Order::Stop) => Ending::Stopping,
            _ => return ending,
        };
        self.phase.set(Phase::DRAINING);
        say(format_args!("{}", if next == Ending::Draining { "draining" } else { "stopping" }));
        self.workers.iter().for_each(|worker| worker.send(order.clone()));
        next
    }

    /// Waits for the last records, but not for a disk that hangs.
    fn finish_log(self) {
        let Some(thread) = self.log_thread else { return };
        let (done, finished) = mpsc::channel();
        let waiter = Builder::new().spawn(move || done.send(thread.join().is_ok()));
        if waiter.is_err() || finished.recv_timeout(GRACE) != Ok(true) {
            say(format_args!("the last records may be lost"));
        }
    }
}

/// The first signal asks nicely.
fn on_signal(ending: Ending) -> Order {
    if ending == Ending::No { Order::Drain } else { Order::Stop }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::config::read;

    fn demo() -> Config {
        read("demo.toml", include_str!("../../appliance/demo.toml")).unwrap()
    }

    /// Workers that end when told to, and what was ordered.
    fn supervised(notices: &[Notice]) -> (bool, Vec<Order>) {
        let (orders, ordered) = mpsc::channel();
        let (sender, inbox) = mpsc::channel();
        for notice in notices {
            let copy = match notice {
                Notice::Signal => Notice::Signal,
                Notice::Ordered(order) => Notice::Ordered(order.clone()),
                Notice::Reload(_) => Notice::Reload(None),
                Notice::WorkerEnded { worker, panicked } => {
                    Notice::WorkerEnded { worker: *worker, panicked: *panicked }
                }
            };
            sender.send(copy).unwrap();
        }
        let worker = Handle::new(orders, Wake::new(|| {}));
        let (config, phase) = (Arc::new(demo()), Arc::new(Phase::default()));
        let running = Running {
            config,
            path: None,
            workers: vec![worker],
            inbox,
            phase,
            log_thread: None,
            store_end: None,
        };
        let well = format!("{:?}", running.supervise()) == format!("{:?}", ExitCode::SUCCESS);
        (well, ordered.try_iter().collect())
    }

    const ENDED: Notice = Notice::WorkerEnded { worker: 0, panicked: false };

    #[test]
    fn the_first_signal_drains_and_the_second_stops() {
        assert_eq!(supervised(&[Notice::Signal, ENDED]), (true, vec![Order::Drain]));
        assert_eq!(
            supervised(&[Notice::Signal, Notice::Signal, ENDED]),
            (true, vec![Order::Drain, Order::Stop])
        );
    }

    #[test]
    fn the_admin_plane_orders_once() {
        let drain = || Notice::Ordered(Order::Drain);
        assert_eq!(supervised(&[drain(), drain(), ENDED]), (true, vec![Order::Drain]));
        assert_eq!(supervised(&[Notice::Ordered(Order::Stop), drain(), ENDED]), (true, vec![Order::Stop]));
        assert_eq!(supervised(&[drain(), Notice::Signal, ENDED]), (true, vec![Order::Drain, Order::Stop]));
    }

    #[test]
    fn a_reload_that_cannot_be_changes_nothing() {
        assert_eq!(supervised(&[Notice::Reload(None), Notice::Signal, ENDED]), (true, vec![Order::Drain]));
    }

    #[test]
    fn a_worker_that_ends_unasked_is_a_fault() {
        assert!(!supervised(&[ENDED]).0);
        let panicked = Notice::WorkerEnded { worker: 0, panicked: true };
        assert!(!supervised(&[Notice::Signal, panicked]).0);
    }

    #[test]
    fn a_cpu_that_is_not_ours_is_named() {
        let mut config = demo();
        config.workers.cpus = Cpus::List(vec![4095]);
        assert!(cpus(&config).unwrap_err().contains("CPU 4095"));
    }

    #[test]
    fn workers_get_what_is_ours_and_paid_for() {
        // Four CPUs of two cores, and the order in which they get work.
        let ours = [(0, 0), (1, 1), (2, 0), (3, 1)].map(|(cpu, core)| Place { cpu, core, node: 0 });
        for (wanted, paid, want) in [
            (Cpus::Auto, 4, &[0, 1, 2, 3][..]),
            (Cpus::Auto, 3, &[0, 1, 2]),
            (Cpus::Cores, 4, &[0, 1]),
            (Cpus::Cores, 1, &[0]),
            (Cpus::List(vec![3, 0]), 1, &[3, 0]),
        ] {
            let chosen = chosen(&wanted, &ours, paid).unwrap();
            assert_eq!(chosen.iter().map(|place| place.cpu).collect::<Vec<_>>(), want, "{wanted:?}");
        }
        let refused = chosen(&Cpus::List(vec![1, 9]), &ours, 4).unwrap_err();
        assert_eq!(refused, "workers.cpus: CPU 9 is not ours to run on (we have 0, 1, 2, 3)");
    }

    #[test]
    fn a_worker_that_says_nothing_fails_the_start() {
        let (ready, started) = mpsc::channel::<Started>();
        let (orders, _receiver) = mpsc::channel();
        drop(Ready::new(ready));
        assert!(await_workers(vec![orders], &started).is_err());
    }
}
