// The filters, as controls.
import { useEffect, useId, useRef, useState } from "preact/hooks";
import type { PullRequestState } from "../gen/chat/v1/chat_pb";
import { type Archiving, type Filters, isRepository, MAX_TITLE, type Scope, STATES } from "./filters";
import { Icon } from "./icons";

/** Between the last key and the request of the list. */
const TYPING_MS = 300;

const SCOPES: readonly (readonly [Scope, string])[] = [
  ["all", "All"],
  ["mine", "Mine"],
  ["shared", "Shared"],
];
const ARCHIVINGS: readonly (readonly [Archiving, string])[] = [
  ["active", "Active"],
  ["archived", "Archived"],
  ["both", "Active and archived"],
];
const BUTTONS = [
  ["open", "Open", "git-pull-request-arrow", "green"],
  ["draft", "Draft", "git-pull-request-draft", "gray"],
  ["merged", "Merged", "git-merge", "purple"],
  ["closed", "Closed", "git-pull-request-closed", "red"],
] as const;

interface Props {
  filters: Filters;
  /** The repositories of the loaded chats, as suggestions. */
  repositories: readonly string[];
  isUser: boolean;
  onChange: (filters: Filters) => void;
}

export function FilterBar({ filters, repositories, isUser, onChange }: Props) {
  const toggle = (state: PullRequestState) => {
    const states = filters.states.includes(state)
      ? filters.states.filter((other) => other !== state)
      : [...filters.states, state];
    onChange({ ...filters, states });
  };
  return (
    <form class="filters" role="search" aria-label="Chats" onSubmit={(event) => event.preventDefault()}>
      <div class="line">
        <Typed
          icon="search"
          label="Search titles"
          value={filters.title}
          maxLength={MAX_TITLE}
          isWhole={() => true}
          onValue={(title) => onChange({ ...filters, title })}
        />
        <Typed
          icon="branch"
          label="Repository"
          value={filters.repository}
          options={repositories}
          isWhole={isRepository}
          hint="owner/repository"
          onValue={(repository) => onChange({ ...filters, repository })}
        />
      </div>
      <div class="line">
        <fieldset class="segments">
          <legend class="hidden">Whose chats</legend>
          {SCOPES.map(([scope, text]) => (
            <label key={scope}>
              <input
                type="radio"
                name="scope"
                class="hidden"
                checked={filters.scope === scope}
                disabled={!isUser && scope !== "all"}
                onChange={() => onChange({ ...filters, scope })}
              />
              <span>{text}</span>
            </label>
          ))}
        </fieldset>
        <select
          aria-label="Archived or not"
          value={filters.archiving}
          onChange={(event) =>
            onChange({ ...filters, archiving: event.currentTarget.value as Archiving })
          }
        >
          {ARCHIVINGS.map(([archiving, text]) => (
            <option key={archiving} value={archiving}>
              {text}
            </option>
          ))}
        </select>
      </div>
      <div class="line" role="group" aria-label="Pull request">
        {BUTTONS.map(([name, text, icon, tone]) => (
          <button
            key={name}
            type="button"
            class="state"
            aria-pressed={filters.states.includes(STATES[name])}
            onClick={() => toggle(STATES[name])}
          >
            <Icon name={icon} tone={tone} size={13} />
            {text}
          </button>
        ))}
        <button
          type="button"
          class="state narrow"
          aria-label="Needs attention"
          title="Needs attention: conflicts, failed checks, requested changes, or ready to merge"
          aria-pressed={filters.needsAttention}
          onClick={() => onChange({ ...filters, needsAttention: !filters.needsAttention })}
        >
          <Icon name="attention" tone="amber" size={13} />
        </button>
      </div>
    </form>
  );
}

interface TypedProps {
  icon: string;
  label: string;
  value: string;
  maxLength?: number;
  options?: readonly string[];
  hint?: string;
  /** Whether a text is complete; others are marked, and not asked for. */
  isWhole: (text: string) => boolean;
  onValue: (value: string) => void;
}

/** A text that counts a moment after its last key, or at once with Enter. */
function Typed(props: TypedProps) {
  const { value, isWhole, options } = props;
  // The latest handler: an earlier one has the other filters as they were when the typing began.
  const latest = useRef(props);
  latest.current = props;
  const list = useId();
  const [text, setText] = useState(value);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => setText(value), [value]);
  useEffect(() => () => clearTimeout(timer.current), []);

  const settle = (typed: string) => {
    clearTimeout(timer.current);
    const trimmed = typed.trim();
    const { value, onValue } = latest.current;
    if (trimmed !== value && (trimmed === "" || isWhole(trimmed))) onValue(trimmed);
  };
  const trimmed = text.trim();
  const isPart = trimmed !== "" && !isWhole(trimmed);
  return (
    <label class="field">
      <Icon name={props.icon} size={14} tone="gray" />
      <input
        type={options ? "text" : "search"}
        aria-label={props.label}
        placeholder={props.hint ?? props.label}
        value={text}
        autocomplete="off"
        spellcheck={false}
        aria-invalid={isPart}
        maxLength={props.maxLength}
        list={options && list}
        onInput={(event) => {
          const typed = event.currentTarget.value;
          setText(typed);
          clearTimeout(timer.current);
          timer.current = setTimeout(() => settle(typed), TYPING_MS);
        }}
        onKeyDown={(event) => {
          if (event.key === "Enter") settle(event.currentTarget.value);
        }}
      />
      {options && (
        <datalist id={list}>
          {options.map((option) => (
            <option key={option} value={option} />
          ))}
        </datalist>
      )}
    </label>
  );
}
