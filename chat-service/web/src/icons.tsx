// Drawings of Lucide, as elements.
import {
  Bell,
  Check,
  CheckCheck,
  ChevronLeft,
  CircleCheck,
  CircleDashed,
  CircleDot,
  CircleX,
  CloudOff,
  FileDiff,
  GitBranch,
  GitMerge,
  GitMergeConflict,
  GitPullRequestArrow,
  GitPullRequestClosed,
  GitPullRequestDraft,
  type IconNode,
  Inbox,
  KeyRound,
  LoaderCircle,
  LogOut,
  Pause,
  RefreshCw,
  Search,
  SearchX,
  TriangleAlert,
  UserCheck,
} from "lucide";
import { h } from "preact";

const DRAWINGS = {
  "git-merge": GitMerge,
  "git-pull-request-closed": GitPullRequestClosed,
  "git-pull-request-draft": GitPullRequestDraft,
  "git-pull-request-arrow": GitPullRequestArrow,
  check: Check,
  spinner: LoaderCircle,
  pause: Pause,
  "error-triangle": TriangleAlert,
  approved: UserCheck,
  attention: Bell,
  back: ChevronLeft,
  branch: GitBranch,
  "changes requested": FileDiff,
  conflict: GitMergeConflict,
  empty: Inbox,
  failing: CircleX,
  key: KeyRound,
  "no match": SearchX,
  passing: CircleCheck,
  pending: CircleDot,
  ready: CheckCheck,
  refresh: RefreshCw,
  search: Search,
  "sign out": LogOut,
  unknown: CircleDashed,
  unreachable: CloudOff,
} satisfies Record<string, IconNode>;

interface Props {
  name: string;
  /** Without one, the icon is decoration: the text beside it says the same. */
  label?: string;
  tone?: string;
  size?: number | undefined;
}

export function Icon({ name, label, tone, size = 16 }: Props) {
  // A later release of the service may have names that this page does not know.
  const drawing = name in DRAWINGS ? DRAWINGS[name as keyof typeof DRAWINGS] : DRAWINGS.unknown;
  const spins = name === "spinner" ? " spins" : "";
  return (
    <svg
      class={`icon ${tone ?? ""}${spins}`}
      data-icon={name}
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      stroke-width="2"
      stroke-linecap="round"
      stroke-linejoin="round"
      {...(label === undefined ? { "aria-hidden": true } : { role: "img", "aria-label": label })}
    >
      {label !== undefined && <title>{label}</title>}
      {drawing.map(([tag, attributes], index) => h(tag, { key: index, ...attributes }))}
    </svg>
  );
}
