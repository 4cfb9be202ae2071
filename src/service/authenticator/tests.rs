use super::file::{AT_ONCE, WAITING_MAX};
use super::*;
use crate::policy::users::Users;
use crate::smtp::sasl::{Exchange, Mechanism, Step};

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes())
}

fn of_file(text: &str) -> Authenticator {
    let passwords = Passwords::new(Arc::new(Users::parse(text).unwrap())).unwrap();
    Authenticator { source: Source::File(Box::new(passwords)), attempts: Attempts::default() }
}

fn authenticator() -> Authenticator {
    let mut file = String::new();
    users::write_line("ann", &enroll(&secret("pencil")).unwrap(), &mut file);
    of_file(&file)
}

fn client(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

fn at(client: IpAddr) -> Origin {
    Origin { client: (client, 50_000).into(), local: ([192, 0, 2, 25], 587).into() }
}

/// Time passes at once whenever all wait.
fn run<T>(test: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(test)
}

#[test]
fn only_the_right_password_of_an_existing_user_is_right() {
    let authenticator = authenticator();
    run(async {
        for (user, password, want) in [
            ("ann", "pencil", Outcome::Right),
            ("ann", "Pencil", Outcome::Wrong),
            ("bob", "pencil", Outcome::Wrong),
            ("", "", Outcome::Wrong),
        ] {
            assert_eq!(authenticator.verify(at(client(1)), user, secret(password)).await, want, "{user}");
        }
    });
}

/// Whoever floods us with passwords has neither all memory nor all cores.
#[test]
fn only_so_many_are_looked_at_and_wait() {
    let user = "eve:$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA\n";
    let authenticator = Arc::new(of_file(user));
    run(async {
        // Nobody is looked at while the test has all turns.
        let Source::File(passwords) = &authenticator.source else { panic!("no file") };
        let turns = passwords.turns.acquire_many(u32::try_from(AT_ONCE).unwrap()).await.unwrap();
        let attempts = (0..AT_ONCE + WAITING_MAX + 4).map(|number| {
            let authenticator = Arc::clone(&authenticator);
            let from = IpAddr::from([198, 51, u8::try_from(number).unwrap(), 1]);
            tokio::spawn(async move { authenticator.verify(at(from), "eve", secret("guess")).await })
        });
        let attempts: Vec<_> = attempts.collect();
        while attempts.iter().filter(|attempt| attempt.is_finished()).count() < 4 {
            tokio::task::yield_now().await;
        }
        drop(turns);
        let mut outcomes = Vec::new();
        for attempt in attempts {
            outcomes.push(attempt.await.unwrap());
        }
        let busy = outcomes.iter().filter(|outcome| **outcome == Outcome::Busy).count();
        let wrong = outcomes.iter().filter(|outcome| **outcome == Outcome::Wrong).count();
        assert_eq!((busy, wrong), (4, AT_ONCE + WAITING_MAX));
        // Who was looked at has left its place to others.
        assert_eq!(authenticator.verify(at(client(1)), "eve", secret("guess")).await, Outcome::Wrong);
    });
}

#[test]
fn guessing_becomes_slow_and_then_ends_for_a_while() {
    let authenticator = authenticator();
    run(async {
        let begin = Instant::now();
        let mut wrong = 0;
        while authenticator.conclude(client(1), false).await == Outcome::Wrong && wrong < 20 {
            wrong += 1;
        }
        assert!(begin.elapsed() > Duration::from_secs(60), "{:?}", begin.elapsed());
        assert_eq!(authenticator.keys(client(1), "ann"), Outcome::TooMany);
        assert_eq!(authenticator.verify(at(client(1)), "ann", secret("pencil")).await, Outcome::TooMany);
        // A neighbour is in the same network, others are not.
        assert_eq!(authenticator.keys(client(2), "ann"), Outcome::TooMany);
        let elsewhere = IpAddr::from([198, 51, 100, 1]);
        assert_eq!(authenticator.verify(at(elsewhere), "ann", secret("pencil")).await, Outcome::Right);
        sleep(attempts::MEMORY).await;
        assert_eq!(authenticator.verify(at(client(1)), "ann", secret("pencil")).await, Outcome::Right);
    });
}

#[test]
fn who_guesses_many_at_once_has_no_more_guesses() {
    let user = "eve:$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA\n";
    let authenticator = Arc::new(of_file(user));
    run(async {
        let attempts = (0..30).map(|_| {
            let authenticator = Arc::clone(&authenticator);
            tokio::spawn(async move { authenticator.verify(at(client(1)), "eve", secret("guess")).await })
        });
        let attempts: Vec<_> = attempts.collect();
        let mut wrong = 0;
        for attempt in attempts {
            wrong += usize::from(attempt.await.unwrap() == Outcome::Wrong);
        }
        assert_eq!(wrong, 20);
        assert_eq!(authenticator.keys(client(1), "eve"), Outcome::TooMany);
    });
}

#[test]
fn a_proof_says_nothing_when_there_were_too_many_meanwhile() {
    let authenticator = authenticator();
    run(async {
        for _ in 0..20 {
            assert_eq!(authenticator.conclude(client(1), false).await, Outcome::Wrong);
        }
        for is_right in [false, true] {
            assert_eq!(authenticator.conclude(client(1), is_right).await, Outcome::TooMany);
        }
    });
}

#[test]
fn scram_runs_with_what_was_enrolled() {
    let authenticator = authenticator();
    let first = b"n,,n=ann,r=abc";
    let (mut exchange, step) = Exchange::begin(Mechanism::ScramSha256, Some(first));
    assert!(matches!(step, Step::Keys { .. }));
    let Outcome::Keys { keys, nonce } = authenticator.keys(client(1), "ann") else { panic!("no keys") };
    assert!(matches!(exchange.take_keys(*keys, &nonce), Step::Challenge(_)));
}

#[test]
fn who_does_not_exist_looks_like_somebody() {
    let authenticator = authenticator();
    let keys = |user| match authenticator.keys(client(1), user) {
        Outcome::Keys { keys, nonce } => (keys, nonce),
        other => panic!("{other:?}"),
    };
    let ((first, nonce), (second, other_nonce)) = (keys("bob"), keys("bob"));
    assert_eq!(first, second);
    assert_ne!(nonce, other_nonce);
    let known = keys("ann").0;
    assert_eq!((first.salt.len(), first.iterations), (known.salt.len(), known.iterations));
    assert_ne!(first.salt, keys("eve").0.salt);
}
