// What stands where the rows would be, or above them.
import type { ComponentChildren } from "preact";
import type { Failure } from "./failure";
import { type Filters, narrows } from "./filters";
import { Icon } from "./icons";
import type { State } from "./sidebar";

interface MessageProps {
  icon: string;
  tone?: string;
  title: string;
  children?: ComponentChildren;
}

export function Message({ icon, tone = "gray", title, children }: MessageProps) {
  return (
    <div class="message">
      <Icon name={icon} tone={tone} size={28} />
      <h2>{title}</h2>
      {children}
    </div>
  );
}

/** In place of the rows, when there are none. */
export function Nothing(props: {
  state: State;
  filters: Filters;
  onClear: () => void;
  onRetry: () => void;
}) {
  const { state, filters, onClear, onRetry } = props;
  if (state.problem) return <Failed problem={state.problem} onRetry={onRetry} />;
  if (!state.listed) return <Skeleton />;
  if (narrows(filters)) {
    return (
      <Message icon="no match" title="No chat matches">
        <p>Nothing that you may see fits these filters.</p>
        <button type="button" onClick={onClear}>
          Clear the filters
        </button>
      </Message>
    );
  }
  return (
    <Message icon="empty" title="No chats yet">
      <p>Chats appear here as soon as they begin, with the pull requests of their branches.</p>
    </Message>
  );
}

function Failed({ problem, onRetry }: { problem: Failure; onRetry: () => void }) {
  const titles: Record<Failure["kind"], string> = {
    "signed-out": "Signed out",
    denied: "Not allowed",
    refused: "This cannot be listed",
    unreachable: "No connection",
    busy: "Too much at once",
    broken: "Something went wrong",
  };
  const isAway = problem.kind === "unreachable";
  return (
    <Message
      icon={isAway ? "unreachable" : "error-triangle"}
      tone={isAway ? "gray" : "amber"}
      title={titles[problem.kind]}
    >
      <p>{problem.text}</p>
      {problem.kind !== "refused" && <p>It is tried again by itself.</p>}
      {problem.requestId !== undefined && problem.kind === "broken" && (
        <p class="small">Request {problem.requestId}</p>
      )}
      <button type="button" onClick={onRetry}>
        Try again
      </button>
    </Message>
  );
}

function Skeleton() {
  return (
    <div class="skeleton" role="status" aria-label="Loading chats">
      {Array.from({ length: 8 }, (_, index) => (
        <div key={index} class="bone" />
      ))}
    </div>
  );
}

interface NoticeProps {
  icon: string;
  children: ComponentChildren;
}

/** A line above the rows. */
export function Notice({ icon, children }: NoticeProps) {
  return (
    <div class="notice" role="status">
      <Icon name={icon} tone="amber" size={14} />
      <span>{children}</span>
    </div>
  );
}
