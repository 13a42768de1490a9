// All that is known of one chat: its branches and their pull requests.
import { useEffect, useState } from "preact/hooks";
import type { Chat, ChatDiffStatus } from "../gen/chat/v1/chat_pb";
import type { Chats } from "./client";
import { DiffView } from "./diff_view";
import { type Failure, failure } from "./failure";
import { Icon } from "./icons";
import { known } from "./merging";
import { Fresh, Lines, Merging, PullRequestIcon, PullRequestNumber } from "./parts";
import { Message } from "./views";
import { ago, chatStatus, date, icon, link, millis, pullRequest } from "./words";

interface Props {
  chats: Chats;
  id: string;
  /** As the list has it: when it changes, all is read again. */
  row: Chat | undefined;
  now: number;
  onClose: () => void;
}

export function Details({ chats, id, row, now, onClose }: Props) {
  const [chat, setChat] = useState<Chat>();
  const [problem, setProblem] = useState<Failure>();
  useEffect(() => {
    const end = new AbortController();
    chats
      .getChat({ chatId: id }, { signal: end.signal })
      .then((answer) => {
        setProblem(undefined);
        setChat(answer.chat);
      })
      .catch((error: unknown) => {
        if (end.signal.aborted) return;
        setChat(undefined);
        setProblem(failure(error));
      });
    return () => end.abort();
  }, [chats, id, row]);
  const shown = chat?.id === id ? chat : row;
  const refs = shown ? branches(shown) : [];

  return (
    <main class="details" aria-label="Chat">
      <button type="button" class="quiet back" onClick={onClose}>
        <Icon name="back" />
        Chats
      </button>
      {problem && !shown && (
        <Message icon="no match" title="This chat cannot be shown">
          <p>{problem.text}</p>
        </Message>
      )}
      {shown && (
        <article>
          <header>
            <h1 dir="auto">{shown.title}</h1>
            <p class="facts">
              <span class="with-icon">
                <StatusIcon chat={shown} />
                {chatStatus(shown.status)}
              </span>
              {shown.archived && <span class="badge">archived</span>}
              {shown.updatedAt && (
                <span title={date(millis(shown.updatedAt))}>
                  changed {ago(millis(shown.updatedAt), now)}
                </span>
              )}
              {shown.createdAt && (
                <span title={date(millis(shown.createdAt))}>
                  begun {ago(millis(shown.createdAt), now)}
                </span>
              )}
            </p>
            {Object.keys(shown.labels).length > 0 && (
              <ul class="labels" aria-label="Labels">
                {Object.entries(shown.labels).map(([key, value]) => (
                  <li key={key} class="badge">
                    {value === "" ? key : `${key}: ${value}`}
                  </li>
                ))}
              </ul>
            )}
          </header>
          <h2>{refs.length > 1 ? "Branches" : "Branch"}</h2>
          {refs.length === 0 ? (
            <p class="small">The agent has pushed no branch yet.</p>
          ) : (
            <ul class="branches">
              {refs.map((status) => (
                <Branch key={status.id} status={status} now={now} />
              ))}
            </ul>
          )}
          {shown.diffStatus && (
            <DiffView key={id} chats={chats} id={id} href={link(shown.diffStatus.url)} />
          )}
        </article>
      )}
    </main>
  );
}

/** The icon of the chat's own status, beside the text that says the same. */
function StatusIcon({ chat }: { chat: Chat }) {
  const { name, tone } = icon(chat);
  return name.startsWith("git-") ? null : <Icon name={name} tone={tone} />;
}

function branches(chat: Chat): readonly ChatDiffStatus[] {
  if (chat.diffStatuses.length > 0) return chat.diffStatuses;
  return chat.diffStatus ? [chat.diffStatus] : [];
}

function Branch({ status, now }: { status: ChatDiffStatus; now: number }) {
  const { commits, changedFiles, authorLogin, baseBranch, headBranch } = status;
  const state = status.pullRequestState;
  return (
    <li class="card">
      <div class="first">
        <PullRequestIcon status={status} />
        <span class="title" dir="auto">
          {state === undefined ? status.gitBranch : status.pullRequestTitle}
        </span>
        <Lines status={status} />
      </div>
      <div class="second">
        <span class="where" dir="auto">
          {status.repository}
          <Icon name="branch" size={12} />
          {baseBranch !== undefined && `${baseBranch} ← `}
          {headBranch ?? status.gitBranch}
        </span>
      </div>
      <div class="third">
        {state !== undefined && <span>{pullRequest(state)}</span>}
        <PullRequestNumber status={status} />
        {authorLogin !== undefined && <span>by {authorLogin}</span>}
        {state !== undefined && <span>{count(changedFiles, "file")}</span>}
        {commits !== undefined && <span>{count(commits, "commit")}</span>}
        <Merging status={status} isAlone={false} />
        {status.pushedAfterMerge && <span class="amber">pushed after the merge</span>}
        <Fresh status={status} now={now} />
      </div>
      <Known status={status} />
    </li>
  );
}

/** What is known of checks, mergeability and review, with the pages of the checks that failed. */
function Known({ status }: { status: ChatDiffStatus }) {
  const sentences = known(status);
  if (sentences.length === 0) return null;
  const failed = status.checks?.failedChecks ?? [];
  const pages = failed.flatMap(({ name, url }) => {
    const href = link(url);
    return href === undefined ? [] : [{ name, href }];
  });
  return (
    <ul class="known">
      {sentences.map((sentence) => (
        <li key={sentence} dir="auto">
          {sentence}
        </li>
      ))}
      {pages.map(({ name, href }, index) => (
        <li key={index}>
          <a href={href} target="_blank" rel="noopener noreferrer" dir="auto">
            {name}
          </a>
        </li>
      ))}
    </ul>
  );
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}
