// The diff of a chat's branch: asked for when it is wanted, since it spends the owner's rate limit.
import { useEffect, useState } from "preact/hooks";
import type { Chats } from "./client";
import { type Diff, readDiff } from "./diff";
import { type Failure, failure } from "./failure";

interface Props {
  chats: Chats;
  id: string;
  /** The page of the pull request, where the whole is. */
  href: string | undefined;
}

export function DiffView({ chats, id, href }: Props) {
  /** Raised to ask; 0 is closed. */
  const [asked, setAsked] = useState(0);
  const [diff, setDiff] = useState<Diff>();
  const [problem, setProblem] = useState<Failure>();
  useEffect(() => {
    setDiff(undefined);
    setProblem(undefined);
    if (asked === 0) return;
    const end = new AbortController();
    readDiff(chats, id, end.signal)
      .then(setDiff)
      .catch((error: unknown) => {
        if (!end.signal.aborted) setProblem(failure(error));
      });
    return () => end.abort();
  }, [chats, id, asked]);

  const isOpen = asked > 0;
  return (
    <section class="diff" aria-label="Diff">
      <p class="facts">
        <button
          type="button"
          aria-expanded={isOpen}
          onClick={() => setAsked(isOpen ? 0 : 1)}
        >
          {isOpen ? "Hide the diff" : "Show the diff"}
        </button>
        <span role="status">{isOpen && said(diff, problem)}</span>
        {problem && (
          <button type="button" onClick={() => setAsked(asked + 1)}>
            Try again
          </button>
        )}
        {diff && !diff.isWhole && href !== undefined && (
          <a href={href} target="_blank" rel="noopener noreferrer">
            All of it
          </a>
        )}
      </p>
      {diff && diff.text !== "" && <pre tabIndex={0}>{diff.text}</pre>}
    </section>
  );
}

function said(diff: Diff | undefined, problem: Failure | undefined): string {
  if (problem) return problem.text;
  if (!diff) return "Asking the git host…";
  const { prNumber, baseBranch, gitBranch, size } = diff.source;
  if (size === 0n) return "There is no difference.";
  const of = prNumber === undefined ? gitBranch : `#${prNumber}`;
  const against = baseBranch === undefined ? of : `${of} against ${baseBranch}`;
  return diff.isWhole ? against : `The beginning of ${against}`;
}
