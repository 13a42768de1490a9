//! Reading answers, and no more of them than is of use.

use reqwest::Response;

use super::super::NoAnswer;

/// Why a request has no answer, or only a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TransportError {
    /// No answer within the request's time.
    TimedOut,
    /// No connection.
    Unreachable,
    /// The connection broke before the answer began.
    Lost,
    /// The answer ended too early.
    CutOff,
    /// The answer is larger than any that is of use.
    TooLarge,
}

impl From<TransportError> for NoAnswer {
    fn from(broken: TransportError) -> Self {
        match broken {
            TransportError::TimedOut => Self::unavailable("it timed out"),
            TransportError::Unreachable => Self::unavailable("it cannot be reached"),
            TransportError::Lost => Self::unavailable("the connection broke"),
            TransportError::CutOff => Self::invalid("the answer is cut off"),
            TransportError::TooLarge => Self::invalid("the answer is too large"),
        }
    }
}

/// Why a request has no answer.
pub(super) fn unanswered(error: &reqwest::Error) -> TransportError {
    if error.is_timeout() && !error.is_connect() {
        TransportError::TimedOut
    } else if error.is_connect() {
        TransportError::Unreachable
    } else {
        TransportError::Lost
    }
}

/// Reads a body, and no more of it than `limit`: the rest is never received.
pub(super) async fn read(mut response: Response, limit: usize) -> Result<Vec<u8>, TransportError> {
    let announced = response.content_length().unwrap_or(0);
    if usize::try_from(announced).map_or(true, |announced| announced > limit) {
        return Err(TransportError::TooLarge);
    }
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > limit => {
                return Err(TransportError::TooLarge);
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(error) if error.is_timeout() => return Err(unanswered(&error)),
            Err(_) => return Err(TransportError::CutOff),
        }
    }
}

/// Reads the beginning of a body, at most `limit` bytes: a refusal with a truncated or endless text
/// is still a refusal.
pub(super) async fn read_beginning(mut response: Response, limit: usize) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < limit
        && let Ok(Some(chunk)) = response.chunk().await
    {
        body.extend_from_slice(&chunk);
    }
    body.truncate(limit);
    body
}
