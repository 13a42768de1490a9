// What a row and the details of a chat both show of a pull request.
import type { ChatDiffStatus } from "../gen/chat/v1/chat_pb";
import { Icon } from "./icons";
import { glyph, known } from "./merging";
import { freshness, link, pullRequestIcon, type Tone } from "./words";

const TONES: Record<Tone, string> = { quiet: "", busy: "blue", warning: "amber" };

/** `+additions -deletions`, with words for screen readers. */
export function Lines({ status }: { status: ChatDiffStatus }) {
  if (status.pullRequestState === undefined) return null;
  const { additions, deletions } = status;
  return (
    <span class="lines" role="img" aria-label={`${additions} additions, ${deletions} deletions`}>
      <span class="green">+{additions.toLocaleString("en")}</span>{" "}
      <span class="red">−{deletions.toLocaleString("en")}</span>
    </span>
  );
}

/** The pull request's number, which leads to its page. */
export function PullRequestNumber(props: { status: ChatDiffStatus; tabIndex?: number }) {
  const { status, tabIndex } = props;
  if (status.prNumber === undefined) return null;
  const href = link(status.url);
  const text = `#${status.prNumber}`;
  if (href === undefined) return <span>{text}</span>;
  const label = `Pull request ${text} of ${status.repository}`;
  return (
    <a
      href={href}
      target="_blank"
      rel="noopener noreferrer"
      aria-label={label}
      title={status.pullRequestTitle}
      tabIndex={tabIndex}
    >
      {text}
    </a>
  );
}

/** The most urgent of checks, conflicts and reviews; what is known beside it is a tooltip. With
 * `isAlone` nothing else on the page says that: it is a text for screen readers, too. */
export function Merging({ status, isAlone }: { status: ChatDiffStatus; isAlone: boolean }) {
  const shown = glyph(status);
  if (!shown) return null;
  const sentences = known(status);
  return (
    <span class={`with-icon ${shown.tone}`} title={sentences.join("\n")}>
      <Icon name={shown.name} size={12} />
      {shown.text}
      {isAlone && <span class="hidden">. {sentences.join(" ")}</span>}
    </span>
  );
}

/** How fresh the status is, or what keeps it from being fresh. */
export function Fresh({ status, now }: { status: ChatDiffStatus; now: number }) {
  const { text, tone, detail } = freshness(status, now);
  return (
    <span class={`fresh ${TONES[tone]}`} title={detail}>
      {text}
    </span>
  );
}

export function PullRequestIcon({ status, size }: { status: ChatDiffStatus; size?: number }) {
  if (status.pullRequestState === undefined) {
    return <Icon name="branch" tone="gray" size={size} />;
  }
  const { name, tone, label } = pullRequestIcon(status);
  return <Icon name={name} tone={tone} label={label} size={size} />;
}
