// One chat of the list.
import type { Chat } from "../gen/chat/v1/chat_pb";
import type { Failure } from "./failure";
import { Icon } from "./icons";
import { Fresh, Lines, Merging, PullRequestIcon, PullRequestNumber } from "./parts";
import { age, date, icon, millis } from "./words";

/** Pixels; the style sheet's skeleton is of such rows. */
const TALL = 74;
/** Of a chat without a branch. */
const SHORT = 38;

export function height(chat: Chat): number {
  return chat.diffStatus ? TALL : SHORT;
}

interface Props {
  chat: Chat;
  index: number;
  top: number;
  /** The one row that Tab reaches. */
  isActive: boolean;
  isSelected: boolean;
  isRefreshing: boolean;
  mayRefresh: boolean;
  note: Failure | undefined;
  now: number;
  onSelect: (id: string) => void;
  onRefresh: (id: string) => void;
}

export function Row(props: Props) {
  const { chat, index, top, isActive, isSelected, isRefreshing, mayRefresh, note, now } = props;
  const { name, tone, label } = icon(chat);
  const status = chat.diffStatus;
  const updated = chat.updatedAt ? millis(chat.updatedAt) : undefined;
  const tabIndex = isActive ? 0 : -1;
  return (
    <div
      role="row"
      class="row"
      id={`chat-${chat.id}`}
      aria-rowindex={index + 1}
      aria-selected={isSelected}
      tabIndex={tabIndex}
      data-chat={chat.id}
      style={{ transform: `translateY(${top}px)`, height: `${height(chat)}px` }}
      onClick={(event) => {
        const isControl = (event.target as Element).closest("a, button") !== null;
        if (!isControl) props.onSelect(chat.id);
      }}
    >
      <div role="gridcell" class="main">
        <div class="first">
          <Icon name={name} tone={tone} label={label} />
          <span class="title" dir="auto" title={chat.title}>
            {chat.title}
          </span>
          {chat.archived && <span class="badge">archived</span>}
          {updated !== undefined && (
            <time class="age" dateTime={new Date(updated).toISOString()} title={date(updated)}>
              {age(updated, now)}
            </time>
          )}
        </div>
        {status && (
          <div class="second">
            <span class="where" title={`${status.repository}, ${status.gitBranch}`}>
              <span class="repository" dir="auto">
                {status.repository}
              </span>
              <Icon name="branch" size={12} />
              <span class="branch" dir="auto">
                {status.gitBranch}
              </span>
            </span>
            <Lines status={status} />
          </div>
        )}
        {status && (
          <div class="third">
            {!name.startsWith("git-") && status.pullRequestState !== undefined && (
              <PullRequestIcon status={status} size={12} />
            )}
            <PullRequestNumber status={status} tabIndex={tabIndex} />
            <Merging status={status} isAlone />
            {status.pushedAfterMerge && <span class="amber">pushed after the merge</span>}
            {note ? (
              <span class="fresh amber" title={note.text}>
                {note.text}
              </span>
            ) : (
              <Fresh status={status} now={now} />
            )}
          </div>
        )}
      </div>
      {status && mayRefresh && (
        <div role="gridcell" class="actions">
          <button
            type="button"
            class="quiet"
            tabIndex={tabIndex}
            aria-label={`Refresh the pull request of ${chat.title}`}
            title="Look it up now"
            aria-disabled={isRefreshing}
            onClick={() => props.onRefresh(chat.id)}
          >
            <span class={isRefreshing ? "spins" : ""}>
              <Icon name="refresh" size={14} />
            </span>
          </button>
        </div>
      )}
    </div>
  );
}
