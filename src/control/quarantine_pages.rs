//! The quarantine on the admin plane: `/api/quarantine`.
//!
//! Who reaches the plane may look at descriptions. Orders need the token that lies in the
//! quarantine's folder: who can read it there can read and delete the files anyway. No page shows
//! what a message says. A name in `Host` is refused, and so is an origin: with both, any web page
//! that a browser of this machine shows could ask here in its own name.

use std::net::IpAddr;

use axum::Router;
use axum::extract::{Path, RawQuery, State as Given};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Json;
use axum::routing::{get, post};
use serde_json::{Value, json};
use ulid::Ulid;

use crate::limits::PAGE_ENTRIES_MAX;
use crate::service::quarantine::order::{Desk, Order, Outcome, Refused};

type Page = (StatusCode, Json<Value>);

/// All pages; `None`: the configuration has no quarantine.
pub(super) fn router(desk: Option<Desk>) -> Router {
    Router::new()
        .route("/api/quarantine", get(list))
        .route("/api/quarantine/{id}", get(show).delete(delete))
        .route("/api/quarantine/{id}/release", post(release))
        .with_state(desk)
}

async fn list(Given(desk): Given<Option<Desk>>, headers: HeaderMap, RawQuery(query): RawQuery) -> Page {
    match page_order(query.as_deref().unwrap_or_default()) {
        Ok(order) => answer(desk, &headers, Access::Look, order).await,
        Err(page) => page,
    }
}

async fn show(Given(desk): Given<Option<Desk>>, headers: HeaderMap, Path(id): Path<String>) -> Page {
    on_entry(desk, &headers, Access::Look, &id, Order::Show).await
}

async fn release(Given(desk): Given<Option<Desk>>, headers: HeaderMap, Path(id): Path<String>) -> Page {
    on_entry(desk, &headers, Access::Order, &id, Order::Release).await
}

async fn delete(Given(desk): Given<Option<Desk>>, headers: HeaderMap, Path(id): Path<String>) -> Page {
    on_entry(desk, &headers, Access::Order, &id, Order::Delete).await
}

/// What a request wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Look,
    Order,
}

async fn on_entry(
    desk: Option<Desk>,
    headers: &HeaderMap,
    access: Access,
    id: &str,
    order: fn(Ulid) -> Order,
) -> Page {
    match Ulid::from_string(id) {
        Ok(id) => answer(desk, headers, access, order(id)).await,
        Err(_) => page(StatusCode::BAD_REQUEST, "that is no id"),
    }
}

async fn answer(desk: Option<Desk>, headers: &HeaderMap, access: Access, order: Order) -> Page {
    let Some(desk) = desk else {
        return page(StatusCode::NOT_FOUND, "the configuration has no [quarantine]");
    };
    if is_foreign(headers) {
        return page(StatusCode::FORBIDDEN, "web pages do not look here");
    }
    if access == Access::Order && !desk.admits(bearer(headers)) {
        return page(StatusCode::UNAUTHORIZED, "orders need the token of the quarantine's folder");
    }
    outcome(desk.give(order).await)
}

fn outcome(outcome: Outcome) -> Page {
    let refused = match outcome {
        Ok(value) => return (StatusCode::OK, Json(value)),
        Err(refused) => refused,
    };
    let code = match &refused {
        Refused::None => StatusCode::NOT_FOUND,
        Refused::Busy => StatusCode::CONFLICT,
        Refused::NotTaken(_) => StatusCode::BAD_GATEWAY,
        Refused::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    page(code, refused.text())
}

fn page(code: StatusCode, error: &str) -> Page {
    (code, Json(json!({ "error": error })))
}

/// A name leads here only if somebody's name server says so; an address cannot be made up.
fn is_foreign(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    headers.contains_key(header::ORIGIN) || !(name == "localhost" || name.parse::<IpAddr>().is_ok())
}

fn bearer(headers: &HeaderMap) -> &[u8] {
    let value = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
    value.and_then(|value| value.strip_prefix(b"Bearer ")).unwrap_or_default()
}

/// `after=ID` and `max=COUNT`, in any order, both optional.
fn page_order(query: &str) -> Result<Order, Page> {
    let (mut after, mut max) = (None, PAGE_ENTRIES_MAX);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let understood = match key {
            "after" => Ulid::from_string(value).map(|id| after = Some(id)).is_ok(),
            "max" => value.parse().map(|count| max = count).is_ok(),
            _ => false,
        };
        if !understood {
            return Err(page(StatusCode::BAD_REQUEST, "after=ID and max=COUNT is all that can be asked"));
        }
    }
    Ok(Order::List { after, max })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(pairs: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_name_or_an_origin_is_foreign() {
        for (host, foreign) in [
            ("127.0.0.1:8025", false),
            ("[::1]:8025", false),
            ("[::1]", false),
            ("localhost", false),
            ("localhost:8025", false),
            ("rebound.example:8025", true),
            ("localhost.example", true),
            ("", true),
        ] {
            assert_eq!(is_foreign(&headers(&[(header::HOST, host)])), foreign, "{host}");
        }
        let origin = [(header::HOST, "127.0.0.1"), (header::ORIGIN, "http://127.0.0.1")];
        assert!(is_foreign(&headers(&origin)));
        assert!(is_foreign(&HeaderMap::new()));
    }

    #[test]
    fn a_token_is_a_bearers() {
        let of = |value| bearer(&headers(&[(header::AUTHORIZATION, value)])).to_vec();
        assert_eq!(of("Bearer abc"), b"abc");
        assert_eq!(of("Basic abc"), b"");
        assert_eq!(bearer(&HeaderMap::new()), b"");
    }

    #[test]
    fn a_page_is_asked_for_by_id_and_count() {
        let id = Ulid::from_parts(5, 5);
        assert_eq!(page_order("").ok(), Some(Order::List { after: None, max: PAGE_ENTRIES_MAX }));
        let query = format!("max=7&after={id}");
        assert_eq!(page_order(&query).ok(), Some(Order::List { after: Some(id), max: 7 }));
        for strange in ["after=x", "max=", "max=-1", "order=asc"] {
            assert_eq!(page_order(strange).err().map(|page| page.0.as_u16()), Some(400), "{strange}");
        }
    }

    #[test]
    fn each_refusal_has_its_code() {
        let code = |refused| outcome(Err(refused)).0.as_u16();
        assert_eq!(outcome(Ok(json!({}))).0, StatusCode::OK);
        assert_eq!(code(Refused::None), 404);
        assert_eq!(code(Refused::Busy), 409);
        assert_eq!(code(Refused::NotTaken(String::new())), 502);
        assert_eq!(code(Refused::Failed(String::new())), 500);
    }
}
