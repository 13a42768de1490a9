//! Who asks for which list. The ids and places are those of the files that fill the tables.

use std::collections::BTreeMap;

use chat_service::{
    auth::{Auth, ServiceNames},
    authz::{Action, Authorized, Authorizer, Principal},
    chat::ChatStatus,
    chat_filter::{ChatFilter, PullRequestFilter},
    id::{UserId, WorkspaceId},
};
use http::HeaderMap;
use proto::sync::PullRequestState;
use service_runtime::token::Verifier;
use testkit::clients::{self, Bearer, KEYS};
use uuid::Uuid;

use super::database::{Database, connect};

/// All callers, and what their filters name.
pub(super) struct World {
    callers: Vec<Caller>,
    /// Callers with very many readable chats, each in one way; the auditor is among `callers`.
    heavy: Vec<Caller>,
    /// Things that filters name.
    owner: Uuid,
    workspace: Uuid,
    repository: String,
    pull_request_number: i32,
}

/// A caller of lists.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) name: &'static str,
    pub(super) principal: Principal,
    pub(super) bearer: Bearer,
    /// What they see is the same however large the table is.
    pub(super) steady: bool,
    /// They see a full page.
    pub(super) full: bool,
}

/// A list that a caller asks for.
pub(super) struct Case {
    pub(super) caller: Caller,
    pub(super) filter_name: &'static str,
    pub(super) filter: ChatFilter,
    pub(super) kind: Kind,
}

/// What is expected of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A caller's list without a filter, or the auditor's with one.
    Plain,
    /// Filtered by what stands in every way's index: as fast, whatever the way and the table have.
    Filtered,
    /// Searched for what at most one chat of a thousand matches.
    Searched,
    /// Searched for what more match.
    Common,
}

impl Case {
    /// Whether nothing is filtered.
    pub(super) fn caller_only(&self) -> bool {
        self.filter_name.is_empty()
    }

    pub(super) fn name(&self) -> String {
        match self.filter_name {
            "" => self.caller.name.to_owned(),
            filter => format!("{}: {filter}", self.caller.name),
        }
    }

    pub(super) fn readable(&self) -> Authorized {
        self.caller.readable()
    }
}

impl Caller {
    pub(super) fn readable(&self) -> Authorized {
        Authorizer::new().chats(&self.principal, Action::ReadChat)
    }
}

impl World {
    pub(super) async fn of(database: &Database) -> anyhow::Result<Self> {
        let connection = connect(&database.url).await?;
        let client = &connection.client;
        let id = async |kind: &str, number: i32| -> anyhow::Result<Uuid> {
            let row = client
                .query_one("SELECT bench_id($1, $2)", &[&kind, &number])
                .await?;
            Ok(row.try_get(0)?)
        };
        let mut groups = Vec::new();
        for number in 100..200 {
            groups.push(id("group", number).await?);
        }
        let stranger = Uuid::now_v7();
        let (recent, old) = (id("owner", 1).await?, id("owner", 2).await?);
        let (large_group, own_group) = (id("group", 1).await?, id("group", 2).await?);
        let (small, large) = (id("organization", 10).await?, id("organization", 1).await?);
        let user = |id: Uuid| {
            let mut user = clients::Caller::user();
            user.claims.sub = id.to_string();
            user
        };
        let in_groups = groups
            .into_iter()
            .fold(user(stranger), clients::Caller::group);
        let mut many_groups = user(stranger);
        for number in 1000..1200 {
            many_groups = many_groups.group(id("group", number).await?);
        }
        let (tenth, reader) = (id("owner", 3).await?, id("owner", 4).await?);
        let heavy = vec![
            caller("owns a tenth", &user(tenth), false)?,
            caller(
                "admin of six tenths",
                &user(stranger).member(large, "admin"),
                false,
            )?,
            caller("is shown 10,000", &user(reader), false)?,
            caller("200 groups of 1,000", &many_groups, false)?,
        ];
        let callers = vec![
            caller("owns 200 recent", &user(recent).group(own_group), true)?,
            caller("owns 200 old", &user(old), true)?,
            caller("sees nothing", &user(stranger), true)?,
            caller(
                "group with many shares",
                &user(stranger).group(large_group),
                false,
            )?,
            caller(
                "admin of a small old organization",
                &user(stranger).member(small, "admin"),
                true,
            )?,
            caller(
                "admin of a large organization",
                &user(stranger).member(large, "admin"),
                false,
            )?,
            caller("100 groups", &in_groups, false)?,
            caller("auditor", &user(stranger).site("auditor"), false)?,
        ];
        // Of the middle of the table: an ordinary repository and its pull request.
        let row = client
            .query_one(
                "SELECT c.primary_repository_key, c.primary_pr_number, c.workspace_id, c.owner_id \
                 FROM chats c \
                 WHERE c.primary_pr_number > 100 \
                 ORDER BY (c.primary_repository_key LIKE '%7') DESC, c.id OFFSET 100 LIMIT 1",
                &[],
            )
            .await?;
        Ok(Self {
            callers,
            heavy,
            repository: row.try_get(0)?,
            pull_request_number: row.try_get(1)?,
            workspace: row.try_get(2)?,
            owner: row.try_get(3)?,
        })
    }

    pub(super) fn callers(&self) -> &[Caller] {
        &self.callers
    }

    /// Every caller without a filter, and the auditor with each.
    pub(super) fn cases(&self) -> Vec<Case> {
        let plain = self.callers.iter().map(|caller| Case {
            caller: caller.clone(),
            filter_name: "",
            filter: ChatFilter::default(),
            kind: Kind::Plain,
        });
        let auditor = self.callers.last().cloned().into_iter();
        let filtered = auditor.flat_map(|auditor| {
            self.filters()
                .into_iter()
                .map(move |(filter_name, filter)| Case {
                    caller: auditor.clone(),
                    filter_name,
                    filter,
                    kind: Kind::Plain,
                })
        });
        plain.chain(filtered).collect()
    }

    /// Callers with very many readable chats, with each filter and pair of filters.
    pub(super) fn filtered_cases(&self) -> Vec<Case> {
        let auditor = self.callers.last();
        let callers = self.heavy.iter().chain(auditor);
        callers
            .flat_map(|caller| {
                heavy_filters()
                    .into_iter()
                    .map(|(filter_name, filter, kind)| Case {
                        caller: caller.clone(),
                        filter_name,
                        filter,
                        kind,
                    })
            })
            .collect()
    }

    fn filters(&self) -> Vec<(&'static str, ChatFilter)> {
        let none = ChatFilter::default;
        let title = |text: &str| ChatFilter {
            title: Some(text.to_owned()),
            ..none()
        };
        let labels = |key: &str, value: &str| ChatFilter {
            labels: BTreeMap::from([(key.to_owned(), value.to_owned())]),
            ..none()
        };
        let pull_requests = |wanted| ChatFilter {
            pull_requests: vec![wanted],
            ..none()
        };
        let settled = |state| pull_requests(PullRequestFilter::Settled(state));
        let repository = || ChatFilter {
            repository: Some(self.repository.clone()),
            ..none()
        };
        let number = |filter| ChatFilter {
            pull_request_number: Some(self.pull_request_number),
            ..filter
        };
        vec![
            ("title, 1 of 50,000", title("zanzibar")),
            ("title, 1 of 1,000", title("Flamingo:")),
            ("title, 1 of 120", title("migrate the slow")),
            ("title, 1 of 12", title("fix")),
            ("title, none", title("no such words")),
            ("title, two letters", title("sl")),
            ("label, 1 of 20,000", labels("incident", "inc-77")),
            ("label, 1 of 50", labels("team", "team-7")),
            ("repository", repository()),
            ("number", number(none())),
            ("repository and number", number(repository())),
            ("state open", pull_requests(PullRequestFilter::Open)),
            ("state draft", pull_requests(PullRequestFilter::Draft)),
            ("state merged", settled(PullRequestState::Merged)),
            ("state closed", settled(PullRequestState::Closed)),
            (
                "workspace",
                ChatFilter {
                    workspace: Some(WorkspaceId(self.workspace)),
                    ..none()
                },
            ),
            (
                "owner",
                ChatFilter {
                    owner: Some(UserId(self.owner)),
                    ..none()
                },
            ),
            (
                "status pending",
                ChatFilter {
                    statuses: vec![ChatStatus::Pending],
                    ..none()
                },
            ),
            (
                "archived",
                ChatFilter {
                    archived: Some(true),
                    ..none()
                },
            ),
        ]
    }
}

/// The filters of each caller with very many readable chats.
fn heavy_filters() -> Vec<(&'static str, ChatFilter, Kind)> {
    let none = ChatFilter::default;
    let archived = |archived| ChatFilter {
        archived: Some(archived),
        ..none()
    };
    let statuses = |statuses: &[ChatStatus], filter| ChatFilter {
        statuses: statuses.to_vec(),
        ..filter
    };
    let pull_requests = |states: &[PullRequestFilter], filter| ChatFilter {
        pull_requests: states.to_vec(),
        ..filter
    };
    let title = |text: &str, filter| ChatFilter {
        title: Some(text.to_owned()),
        ..filter
    };
    let label = |key: &str, value: &str, filter| ChatFilter {
        labels: BTreeMap::from([(key.to_owned(), value.to_owned())]),
        ..filter
    };
    let merged = PullRequestFilter::Settled(PullRequestState::Merged);
    let closed = PullRequestFilter::Settled(PullRequestState::Closed);
    let (open, draft) = (PullRequestFilter::Open, PullRequestFilter::Draft);
    let pending = &[ChatStatus::Pending];
    let halted = &[ChatStatus::Error, ChatStatus::Paused];
    vec![
        ("archived", archived(true), Kind::Filtered),
        ("not archived", archived(false), Kind::Filtered),
        ("pending", statuses(pending, none()), Kind::Filtered),
        ("error or paused", statuses(halted, none()), Kind::Filtered),
        ("open", pull_requests(&[open], none()), Kind::Filtered),
        ("draft", pull_requests(&[draft], none()), Kind::Filtered),
        (
            "merged or closed",
            pull_requests(&[merged, closed], none()),
            Kind::Filtered,
        ),
        (
            "archived, pending",
            statuses(pending, archived(true)),
            Kind::Filtered,
        ),
        (
            "not archived, error or paused",
            statuses(halted, archived(false)),
            Kind::Filtered,
        ),
        (
            "archived, open",
            pull_requests(&[open], archived(true)),
            Kind::Filtered,
        ),
        (
            "pending, closed",
            pull_requests(&[closed], statuses(pending, none())),
            Kind::Filtered,
        ),
        (
            "error or paused, draft",
            pull_requests(&[draft], statuses(halted, none())),
            Kind::Filtered,
        ),
        (
            "title, none",
            title("no such words", none()),
            Kind::Searched,
        ),
        (
            "title, 1 of 50,000",
            title("zanzibar", none()),
            Kind::Searched,
        ),
        (
            "title, 1 of 1,000",
            title("Flamingo:", none()),
            Kind::Searched,
        ),
        (
            "title, 1 of 1,000, archived",
            title("Flamingo:", archived(true)),
            Kind::Searched,
        ),
        (
            "label, 1 of 20,000",
            label("incident", "inc-77", none()),
            Kind::Searched,
        ),
        (
            "label, 1 of 20,000, error or paused",
            label("incident", "inc-77", statuses(halted, none())),
            Kind::Searched,
        ),
        (
            "title, 1 of 120",
            title("migrate the slow", none()),
            Kind::Common,
        ),
        (
            "label, 1 of 50",
            label("team", "team-7", none()),
            Kind::Common,
        ),
    ]
}

/// A caller as the service itself would know them, from their token.
fn caller(name: &'static str, caller: &clients::Caller, steady: bool) -> anyhow::Result<Caller> {
    let token = caller.token();
    let mut headers = HeaderMap::new();
    headers.insert("authorization", format!("Bearer {token}").parse()?);
    let verifier = Verifier::from_public_key_pem(KEYS.public_pem.as_bytes())?;
    let auth = Auth::new(verifier, ServiceNames::default());
    Ok(Caller {
        name,
        principal: auth.caller(&headers)?.principal,
        bearer: Bearer::new(&token)?,
        steady,
        full: name != "sees nothing",
    })
}
