//! What is known of a budget, and what a report adds to it.

use std::{collections::HashSet, time::Duration};

use jiff::Timestamp;

use super::{
    GitAccountId, Lane, ProblemClass,
    field::{
        FieldError, at, count, elapsed, maybe_duration, message_count, message_duration,
        message_timestamp, timestamp, uuid,
    },
};
use crate::{
    bounds::{MAX_ACCOUNT_ID_BYTES, MAX_PAUSE, MAX_REFUSALS, MAX_WINDOW_NAME_BYTES, MAX_WINDOWS},
    chat::v1,
};

/// A budget as the reports of all workers together describe it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BudgetView {
    /// The rate limits that it spends.
    pub windows: Vec<Window>,
    /// Secondary limits met, less one for each hour without any.
    pub secondary_strikes: u32,
    /// For how long to ask less and slower. `None`: not now.
    pub cautious_for: Option<Duration>,
    /// Refs per second that its refs ask for at their base intervals.
    pub demand: f64,
    /// Whether the host has told whose account this is.
    pub account_known: bool,
}

/// One named rate limit of a budget. What is `None` is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The provider's name for it.
    pub name: String,
    /// Requests, or points, allowed per window.
    pub limit: Option<i64>,
    /// Left in it.
    pub remaining: Option<i64>,
    /// Until it ends.
    pub reset_in: Option<Duration>,
    /// From one reset to the next.
    pub length: Option<Duration>,
    /// Nothing may spend it before this has passed.
    pub pause_for: Option<Duration>,
}

/// For how long a budget spends nothing, for which lanes, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// How long.
    pub duration: Duration,
    /// Why, as owners see it.
    pub class: ProblemClass,
    /// The most urgent lane that pauses; less urgent ones pause, too.
    pub from_lane: Lane,
}

/// What the host's answers said about a budget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BudgetObservation {
    /// Whose rate limit it is, as the host itself told it.
    pub account_id: Option<String>,
    /// The windows that answers told of.
    pub windows: Vec<Window>,
    /// The host wants no requests.
    pub pause: Option<Pause>,
    /// The worker chose not to send.
    pub rest: Option<Pause>,
    /// Secondary limits met since the last report.
    pub secondary_refusals: u32,
}

/// What the host said of a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialObservation {
    /// Whose.
    pub account: GitAccountId,
    /// Of which of its tokens.
    pub generation: i64,
    /// It refused it; else it took it.
    pub refused: bool,
    /// When the token expires, by the host's clock; `None` where it did not tell.
    pub expires_at: Option<Timestamp>,
}

/// Whether a text can be the host's id of an account or of an installation: 1 to
/// [`MAX_ACCOUNT_ID_BYTES`] visible ASCII characters, without the separator of budget keys.
#[must_use]
pub fn is_host_id(text: &str) -> bool {
    (1..=MAX_ACCOUNT_ID_BYTES).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'|')
}

impl BudgetView {
    /// The window of a name; one of which nothing is known where there is none.
    #[must_use]
    pub fn window(&self, name: &str) -> Window {
        let known = self.windows.iter().find(|window| window.name == name);
        known.cloned().unwrap_or_else(|| Window {
            name: name.to_owned(),
            ..Window::default()
        })
    }

    pub(super) fn read(message: v1::BudgetView) -> Self {
        let v1::BudgetView {
            windows,
            secondary_strikes,
            cautious_for,
            demand,
            account_known,
        } = message;
        Self {
            windows: windows.into_iter().map(Window::known).collect(),
            secondary_strikes: count(secondary_strikes),
            cautious_for: cautious_for.map(|left| elapsed(Some(left))),
            demand: demand.max(0.0),
            account_known,
        }
    }

    pub(super) fn message(&self) -> v1::BudgetView {
        v1::BudgetView {
            windows: self.windows.iter().map(Window::message).collect(),
            secondary_strikes: message_count(self.secondary_strikes),
            cautious_for: self.cautious_for.map(message_duration),
            demand: self.demand,
            account_known: self.account_known,
        }
    }
}

impl Window {
    /// Reads a window that chat-service sent.
    fn known(message: v1::Window) -> Self {
        let left =
            |duration: Option<prost_types::Duration>| duration.map(|left| elapsed(Some(left)));
        Self {
            name: message.name,
            limit: message.limit,
            remaining: message.remaining,
            reset_in: left(message.reset_in),
            length: left(message.length),
            pause_for: left(message.pause_for),
        }
    }

    /// Reads a window that a worker observed.
    fn read(path: &str, message: v1::Window) -> Result<Self, FieldError> {
        let v1::Window {
            name,
            limit,
            remaining,
            reset_in,
            length,
            pause_for,
        } = message;
        if name.is_empty() || name.len() > MAX_WINDOW_NAME_BYTES || name.contains('\0') {
            return Err(FieldError::new(
                at(path, "name"),
                format!("must have 1 to {MAX_WINDOW_NAME_BYTES} bytes"),
            ));
        }
        for (field, value) in [("limit", limit), ("remaining", remaining)] {
            if value.is_some_and(|value| value < 0) {
                return Err(FieldError::new(at(path, field), "must not be negative"));
            }
        }
        Ok(Self {
            name,
            limit,
            remaining,
            reset_in: maybe_duration(path, "reset_in", reset_in, MAX_PAUSE)?,
            length: maybe_duration(path, "length", length, MAX_PAUSE)?,
            pause_for: maybe_duration(path, "pause_for", pause_for, MAX_PAUSE)?,
        })
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> v1::Window {
        v1::Window {
            name: self.name.clone(),
            limit: self.limit,
            remaining: self.remaining,
            reset_in: self.reset_in.map(message_duration),
            length: self.length.map(message_duration),
            pause_for: self.pause_for.map(message_duration),
        }
    }
}

impl Pause {
    fn read(path: &str, message: Option<v1::Pause>) -> Result<Option<Self>, FieldError> {
        let Some(message) = message else {
            return Ok(None);
        };
        let class = message.class();
        if class == ProblemClass::Unspecified {
            return Err(FieldError::new(
                at(path, "class"),
                "must say why the budget pauses",
            ));
        }
        let duration = maybe_duration(path, "duration", message.duration, MAX_PAUSE)?;
        Ok(Some(Self {
            duration: duration.unwrap_or_default(),
            class,
            from_lane: Lane::read(path, "from_lane", message.from_lane, Lane::Interactive)?,
        }))
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> v1::Pause {
        v1::Pause {
            duration: Some(message_duration(self.duration)),
            class: self.class.into(),
            from_lane: self.from_lane.message().into(),
        }
    }
}

impl BudgetObservation {
    pub(super) fn read(path: &str, message: v1::BudgetObservation) -> Result<Self, FieldError> {
        let v1::BudgetObservation {
            account_id,
            windows,
            pause,
            rest,
            secondary_refusals,
        } = message;
        let account_id = account_id.filter(|id| !id.is_empty());
        if let Some(id) = &account_id {
            if !is_host_id(id) {
                return Err(FieldError::new(
                    at(path, "account_id"),
                    "must be an account's id",
                ));
            }
        }
        if windows.len() > MAX_WINDOWS {
            return Err(FieldError::new(
                at(path, "windows"),
                format!("has more than {MAX_WINDOWS} entries"),
            ));
        }
        let mut names = HashSet::with_capacity(windows.len());
        let windows = windows
            .into_iter()
            .enumerate()
            .map(|(index, window)| {
                let path = at(path, &format!("windows[{index}]"));
                let window = Window::read(&path, window)?;
                if !names.insert(window.name.clone()) {
                    return Err(FieldError::new(at(&path, "name"), "is there already"));
                }
                Ok(window)
            })
            .collect::<Result<_, _>>()?;
        if secondary_refusals < 0 {
            return Err(FieldError::new(
                at(path, "secondary_refusals"),
                "must not be negative",
            ));
        }
        Ok(Self {
            account_id,
            windows,
            pause: Pause::read(&at(path, "pause"), pause)?,
            rest: Pause::read(&at(path, "rest"), rest)?,
            secondary_refusals: count(secondary_refusals).min(MAX_REFUSALS),
        })
    }

    pub(super) fn message(&self) -> v1::BudgetObservation {
        v1::BudgetObservation {
            account_id: self.account_id.clone(),
            windows: self.windows.iter().map(Window::message).collect(),
            pause: self.pause.as_ref().map(Pause::message),
            rest: self.rest.as_ref().map(Pause::message),
            secondary_refusals: message_count(self.secondary_refusals),
        }
    }
}

impl CredentialObservation {
    pub(super) fn read(
        path: &str,
        message: &v1::CredentialObservation,
    ) -> Result<Self, FieldError> {
        Ok(Self {
            account: GitAccountId(uuid(path, "credential_id", &message.credential_id)?),
            generation: message.generation,
            refused: message.refused,
            expires_at: message.expires_at.and_then(timestamp),
        })
    }

    pub(super) fn message(&self) -> v1::CredentialObservation {
        v1::CredentialObservation {
            credential_id: self.account.to_string(),
            generation: self.generation,
            refused: self.refused,
            expires_at: self.expires_at.map(message_timestamp),
        }
    }
}
