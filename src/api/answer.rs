//! What a caller reads when a request succeeds: the envelope, pages with opaque cursors, times.

use std::fmt::Display;
use std::str::FromStr;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize, Serializer};
use utoipa::{IntoParams, ToSchema};

use super::problem::ApiError;
pub use crate::runtime::rfc3339;

/// What every handler gives.
pub type Answer = Result<HttpResponse, ApiError>;

/// A thing, and one sentence of what was done.
#[derive(Debug, Serialize, ToSchema)]
pub struct Success<T> {
    /// Always true, but for a thing that is not there: see `GET /api/v1/whatsapp/integration`.
    pub success: bool,
    /// What was done.
    pub message: String,
    /// The thing.
    pub data: T,
}

/// A page of things.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Listing<T> {
    /// Always true.
    pub success: bool,
    /// The things.
    pub data: Vec<T>,
    /// Give it as `cursor` to get the next page; null on the last.
    pub next_cursor: Option<String>,
}

/// 200 with a thing.
pub fn ok<T: Serialize>(message: impl Into<String>, data: T) -> Answer {
    success(StatusCode::OK, message, data)
}

/// Another success with a thing.
pub fn success<T: Serialize>(status: StatusCode, message: impl Into<String>, data: T) -> Answer {
    Ok(HttpResponse::build(status).json(Success { success: true, message: message.into(), data }))
}

/// Which page of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Page {
    /// Things on a page, 1 to 200; 50 unless given.
    #[param(value_type = u64, required = false, minimum = 1, maximum = 200)]
    pub limit: Option<String>,
    /// `nextCursor` of the page before.
    #[param(value_type = String, required = false)]
    pub cursor: Option<String>,
}

/// Things on a page, and where it starts.
#[derive(Debug, Clone, Copy)]
pub struct Slice<C> {
    limit: usize,
    /// Where the page before ended.
    pub after: Option<C>,
}

impl Page {
    /// Reads it; both parameters are named when wrong.
    pub fn slice<C: FromStr>(&self) -> Result<Slice<C>, ApiError> {
        let limit = match self.limit.as_deref().map(str::parse) {
            None => 50,
            Some(Ok(limit @ 1..=200)) => limit,
            Some(_) => return Err(ApiError::field("limit", "must be from 1 to 200")),
        };
        let after = match self.cursor.as_deref() {
            None | Some("") => None,
            Some(cursor) => Some(open(cursor).ok_or_else(|| {
                ApiError::field("cursor", "must be the nextCursor of an answer to the same list")
            })?),
        };
        Ok(Slice { limit, after })
    }
}

fn open<C: FromStr>(cursor: &str) -> Option<C> {
    String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?.parse().ok()
}

impl<C: Display> Slice<C> {
    /// Rows to ask for: one more than the page holds, to know whether there is another.
    pub fn fetch(&self) -> u64 {
        self.limit as u64 + 1
    }

    /// The page of these rows; `place` is where a row stands in the list.
    pub fn answer<R, T: Serialize>(
        &self,
        rows: Vec<R>,
        place: impl Fn(&R) -> C,
        view: impl FnMut(R) -> T,
    ) -> Answer {
        self.answer_until(rows, place, view, None)
    }

    /// The same where the look ended early: the next page begins at `end`.
    pub fn answer_until<R, T: Serialize>(
        &self,
        mut rows: Vec<R>,
        place: impl Fn(&R) -> C,
        view: impl FnMut(R) -> T,
        end: Option<C>,
    ) -> Answer {
        let more = rows.len() > self.limit;
        rows.truncate(self.limit);
        let last = rows.last().filter(|_| more).map(place).or(end);
        let next_cursor = last.map(|place| BASE64_URL_SAFE_NO_PAD.encode(place.to_string()));
        let data = rows.into_iter().map(view).collect();
        Ok(HttpResponse::Ok().json(Listing { success: true, data, next_cursor }))
    }
}

/// A cursor over two orders at once, or over an order whose first key is not unique: `a.b`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Both<A, B>(pub A, pub B);

impl<A: Display, B: Display> Display for Both<A, B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl<A: FromStr, B: FromStr> FromStr for Both<A, B> {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (a, b) = text.split_once('.').ok_or(())?;
        Ok(Self(a.parse().map_err(drop)?, b.parse().map_err(drop)?))
    }
}

/// Unix milliseconds, written as RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, format = DateTime)]
pub struct Time(pub i64);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&rfc3339(self.0))
    }
}
