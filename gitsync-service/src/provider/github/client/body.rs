//! Reading answers, and no more of them than is of use.

use reqwest::Response;

use crate::outcome::Problem;

/// No answer within the request's time.
pub(super) const TIMED_OUT: Problem = Problem::HostUnavailable("it timed out");

/// What is said of a request that has no answer.
pub(super) fn unanswered(error: &reqwest::Error) -> Problem {
    if error.is_timeout() && !error.is_connect() {
        TIMED_OUT
    } else if error.is_connect() {
        Problem::HostUnavailable("it cannot be reached")
    } else {
        Problem::HostUnavailable("the connection broke")
    }
}

/// Reads a body, and no more of it than `limit`: the rest is never received.
pub(super) async fn read(mut response: Response, limit: usize) -> Result<Vec<u8>, Problem> {
    const TOO_LARGE: Problem = Problem::HostAnswerInvalid("the answer is too large");
    let announced = response.content_length().unwrap_or(0);
    if usize::try_from(announced).map_or(true, |announced| announced > limit) {
        return Err(TOO_LARGE);
    }
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > limit => return Err(TOO_LARGE),
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(error) if error.is_timeout() => return Err(unanswered(&error)),
            Err(_) => return Err(Problem::HostAnswerInvalid("the answer is cut off")),
        }
    }
}

/// Reads what there is of a body, at most `limit`: a refusal whose text is cut off or goes on and on
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
