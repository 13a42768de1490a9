//! Checks, review requests and threads, the merge queue, and rules of branches.

use std::rc::Rc;

use super::Resolver;
use crate::github::check::{CheckRun, Requested};
use crate::github::graphql::argument::Arguments;
use crate::github::graphql::entity::{Connection, Entity, Of, Placed, Resolved};
use crate::github::graphql::page;

impl<'w> Resolver<'w> {
    /// Whether GitHub would merge it. To ask has it worked out, for the next answer.
    pub(super) fn merge_state(&self, placed: Placed<'w>) -> &'static str {
        let pull_request = placed.pull_request;
        let mut shown = self.mergeability.borrow_mut();
        shown.entry(pull_request.id).or_insert_with(|| {
            let state = placed.repository.merge_state(pull_request);
            pull_request.note_mergeability_read();
            state
        })
    }

    pub(super) fn check(
        &self,
        entity: &Entity<'w>,
        name: &str,
        arguments: Arguments<'w>,
    ) -> Resolved<'w> {
        match entity {
            Entity::Rollup(placed) => rollup(*placed, name, arguments),
            Entity::Contexts(placed, connection) => contexts(*placed, connection, name),
            Entity::StateCount(_, state, count) => match name {
                "state" => (*state).into(),
                _ => Resolved::Number(*count),
            },
            Entity::CheckRun(placed, run) => self.check_run(*placed, run, name),
            Entity::CheckSuite(placed, run) => match name {
                "id" => Resolved::owned(format!("CS_kwDO{:08X}", run.suite)),
                "workflowRun" => {
                    let is_actions = run.workflow.is_some();
                    Resolved::object(is_actions.then_some(Entity::WorkflowRun(*placed, run)))
                }
                _ => Resolved::Null,
            },
            Entity::WorkflowRun(placed, run) => match name {
                "id" => Resolved::owned(format!("WFR_kwDO{:08X}", run.suite)),
                "workflow" => Resolved::Object(Entity::Workflow(*placed, run)),
                _ => self.address(*placed, &format!("actions/runs/{}", run.suite), name),
            },
            Entity::Workflow(placed, run) => match (name, &run.workflow) {
                ("id", Some(workflow)) => Resolved::owned(format!("W_kwDO{workflow}")),
                ("name", Some(workflow)) => workflow.as_str().into(),
                _ => self.address(*placed, "actions", name),
            },
            Entity::StatusContext(status) => match name {
                "id" => Resolved::owned(status.node_id()),
                "context" => status.context.as_str().into(),
                "state" => status.state.into(),
                "createdAt" => Resolved::time(Some(status.at)),
                "targetUrl" => Resolved::owned(format!("https://ci.example.com/{}", status.id)),
                _ => Resolved::Null,
            },
            Entity::Expected(placed, context) => match name {
                "id" => Resolved::owned(format!("SC_expected_{context}")),
                "context" => (*context).into(),
                "state" => "EXPECTED".into(),
                "createdAt" => Resolved::time(Some(placed.pull_request.created_at)),
                _ => Resolved::Null,
            },
            Entity::QueueEntry(placed) => match name {
                "id" => Resolved::owned(format!("MQE_{:08X}", placed.pull_request.id)),
                "position" => Resolved::Number(placed.pull_request.queue_position),
                "enqueuedAt" => Resolved::time(Some(placed.pull_request.updated_at)),
                "state" => "QUEUED".into(),
                _ => Resolved::Null,
            },
            Entity::Thread(thread) => match name {
                "id" => Resolved::owned(thread.node_id()),
                "isResolved" => Resolved::Flag(thread.resolved),
                "comments" => {
                    let first = vec![Entity::ThreadComment(thread)];
                    Resolved::Object(page::cut(Of::ThreadComments, first, arguments))
                }
                _ => Resolved::Null,
            },
            Entity::ThreadComment(thread) => match name {
                "id" => Resolved::owned(thread.comment_node_id()),
                "author" => Resolved::object(self.find_account(thread.author)),
                _ => Resolved::Null,
            },
            Entity::ReviewRequest(placed, index, requested) => match name {
                "id" => {
                    let pull_request = placed.pull_request.id;
                    Resolved::owned(format!("RR_kwDO{pull_request:08X}_{index}"))
                }
                "asCodeOwner" => Resolved::Flag(false),
                "requestedReviewer" => match requested {
                    Requested::Account(id) => Resolved::object(self.find_account(*id)),
                    Requested::Team(slug) => Resolved::Object(Entity::Team(slug)),
                },
                _ => Resolved::Null,
            },
            Entity::Team(slug) => match name {
                "id" => Resolved::owned(format!("T_kwDO{slug}")),
                "name" | "slug" => (*slug).into(),
                _ => Resolved::Null,
            },
            Entity::RefUpdateRule(repository) => match name {
                "pattern" => "*".into(),
                "requiredStatusCheckContexts" => Resolved::Texts(&repository.protected_checks),
                _ => Resolved::Null,
            },
            Entity::Query
            | Entity::RateLimit
            | Entity::Account(_)
            | Entity::Repository(_)
            | Entity::PullRequest(_)
            | Entity::Review(..)
            | Entity::Branch(..)
            | Entity::Commit(..)
            | Entity::AutoMerge(_)
            | Entity::Connection(_)
            | Entity::Edge(..)
            | Entity::PageInfo(_)
            | Entity::Total(_) => Resolved::Null,
        }
    }

    fn check_run(&self, placed: Placed<'w>, run: &'w CheckRun, name: &str) -> Resolved<'w> {
        match name {
            "id" => Resolved::owned(run.node_id()),
            "databaseId" => Resolved::Number(run.id),
            "name" => run.name.as_str().into(),
            "status" => run.status.into(),
            "conclusion" => run.conclusion.map_or(Resolved::Null, Resolved::from),
            "startedAt" => Resolved::time(run.started_at),
            "completedAt" => Resolved::time(run.completed_at),
            "checkSuite" => Resolved::Object(Entity::CheckSuite(placed, run)),
            "detailsUrl" | "permalink" => self.address(placed, &format!("runs/{}", run.id), "url"),
            _ => self.address(placed, &format!("runs/{}", run.id), name),
        }
    }

    /// The page of something in a repository, or the path of that page.
    fn address(&self, placed: Placed<'w>, page: &str, name: &str) -> Resolved<'w> {
        let full_name = self.full_name(placed.repository);
        match name {
            "url" => Resolved::owned(format!("{}/{full_name}/{page}", self.world.web_base)),
            "resourcePath" => Resolved::owned(format!("/{full_name}/{page}")),
            _ => Resolved::Null,
        }
    }
}

/// What a rollup sums up: runs, superseded ones included, statuses, and what is expected.
fn all<'w>(placed: Placed<'w>) -> Vec<Entity<'w>> {
    let sha = &placed.pull_request.head.sha;
    let checks = placed.repository.checks_of(sha);
    let runs = checks.into_iter().flat_map(|checks| &checks.runs);
    let statuses = checks
        .into_iter()
        .flat_map(|checks| checks.statuses.values());
    let expected = placed.repository.expected(sha).into_iter();
    runs.map(|run| Entity::CheckRun(placed, run))
        .chain(statuses.map(Entity::StatusContext))
        .chain(expected.map(|context| Entity::Expected(placed, context)))
        .collect()
}

fn rollup<'w>(placed: Placed<'w>, name: &str, arguments: Arguments<'w>) -> Resolved<'w> {
    match name {
        "id" => Resolved::owned(format!("SCR_{}", placed.pull_request.head.sha)),
        "state" => {
            let checks = placed.repository.checks_of(&placed.pull_request.head.sha);
            let state = checks.filter(|checks| !checks.is_empty());
            state.map_or("EXPECTED", |checks| checks.state()).into()
        }
        "contexts" => {
            let page = page::cut_page(Of::Contexts, all(placed), arguments);
            Resolved::Object(Entity::Contexts(placed, page))
        }
        _ => Resolved::Null,
    }
}

fn contexts<'w>(placed: Placed<'w>, connection: &Rc<Connection<'w>>, name: &str) -> Resolved<'w> {
    let sha = &placed.pull_request.head.sha;
    let checks = placed.repository.checks_of(sha);
    let runs = || -> Vec<&'w str> {
        let runs = checks.into_iter().flat_map(|checks| &checks.runs);
        runs.map(CheckRun::state).collect()
    };
    let statuses = || -> Vec<&'w str> {
        let statuses = checks
            .into_iter()
            .flat_map(|checks| checks.statuses.values());
        let expected = placed.repository.expected(sha).into_iter();
        let expected = expected.map(|_| "EXPECTED");
        statuses
            .map(|status| status.state)
            .chain(expected)
            .collect()
    };
    match name {
        "checkRunCount" => Resolved::count(runs().len()),
        "statusContextCount" => Resolved::count(statuses().len()),
        "checkRunCountsByState" => counted("CheckRunStateCount", runs()),
        "statusContextCountsByState" => counted("StatusContextStateCount", statuses()),
        _ => page::connection(connection, name),
    }
}

fn counted<'w>(of: &'static str, mut states: Vec<&'w str>) -> Resolved<'w> {
    states.sort_unstable();
    let groups = states.chunk_by(|one, other| one == other);
    let counts = groups.filter_map(|group| {
        let state = group.first()?;
        let count = u64::try_from(group.len()).unwrap_or(u64::MAX);
        Some(Ok(Some(Entity::StateCount(of, state, count))))
    });
    Resolved::List(counts.collect())
}
