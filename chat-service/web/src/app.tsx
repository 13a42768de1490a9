// The page of a user who is signed in.
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { chats as connect } from "./client";
import { Details } from "./details";
import { FilterBar } from "./filter_bar";
import { type Filters, NO_FILTERS, read, write } from "./filters";
import { Grid } from "./grid";
import { Icon } from "./icons";
import type { Session } from "./session";
import { Sidebar, type State } from "./sidebar";
import { Notice, Nothing } from "./views";
import { accountProblem } from "./words";

/** How long a page is hidden before its watch ends. */
const HIDDEN_MS = 30_000;

interface Props {
  session: Session;
  onSignOut: (isExpired: boolean) => void;
}

export function App({ session, onSignOut }: Props) {
  const [filters, setFilters] = useState(() => read(location.search));
  const chats = useMemo(() => connect(location.origin, session.token), [session]);
  const sidebar = useRef<Sidebar | undefined>(undefined);
  const [state, setState] = useState<State>();
  const now = useNow();
  const [selected, setSelected] = useState<string>();

  useEffect(() => {
    const { userId } = session;
    const made = new Sidebar(chats, userId, filters, setState, () => onSignOut(true));
    sidebar.current = made;
    setState(made.state);
    const forget = followAttention(made);
    return () => {
      forget();
      made.close();
    };
    // Not again for other filters: `choose` gives those to the same list.
  }, [chats, session, onSignOut]);

  const choose = useCallback((next: Filters) => {
    setFilters(next);
    const query = write(next);
    history.replaceState(null, "", query === "" ? location.pathname : `?${query}`);
    sidebar.current?.filter(next);
  }, []);
  const onRefresh = useCallback((id: string) => void sidebar.current?.refresh(id), []);
  const onMore = useCallback(() => void sidebar.current?.more(), []);
  const onSee = useCallback((first: number, last: number) => sidebar.current?.see(first, last), []);
  const onRetry = useCallback(() => sidebar.current?.retry(), []);

  const rows = state?.rows ?? [];
  const repositories = useMemo(
    () => [...new Set(rows.map(({ diffStatus }) => diffStatus?.repository ?? ""))].filter(Boolean).sort(),
    [rows],
  );
  if (!state) return null;
  const paused = accountProblem(rows, session.userId, now);
  return (
    <div class={selected === undefined ? "app" : "app has-details"}>
      <section class="sidebar" aria-label="Chats">
        <header class="head">
          <h1>Chats</h1>
          <Connection state={state} />
          <button
            type="button"
            class="quiet"
            aria-label="Sign out"
            title="Sign out"
            onClick={() => onSignOut(false)}
          >
            <Icon name="sign out" size={15} />
          </button>
        </header>
        <FilterBar
          filters={filters}
          repositories={repositories}
          isUser={session.userId !== undefined}
          onChange={choose}
        />
        {paused && (
          <Notice icon={paused.isPause ? "pause" : "key"}>
            {paused.isPause
              ? `${paused.host} is ${paused.text}: ${paused.detail}. What is shown is as last known.`
              : `Pull requests are not looked up: ${paused.detail}.`}
          </Notice>
        )}
        {state.noWorker && (
          <Notice icon="unreachable">
            No worker answered: pull requests are as last known until one is back.
          </Notice>
        )}
        {state.problem && rows.length > 0 && (
          <Notice icon="error-triangle">
            {state.problem.text}{" "}
            <button type="button" class="plain" onClick={onRetry}>
              Try again
            </button>
          </Notice>
        )}
        {rows.length === 0 ? (
          <Nothing
            state={state}
            filters={filters}
            onClear={() => choose(NO_FILTERS)}
            onRetry={onRetry}
          />
        ) : (
          <Grid
            key={write(filters)}
            state={state}
            session={session}
            now={now}
            selected={selected}
            onSelect={setSelected}
            onRefresh={onRefresh}
            onMore={onMore}
            onSee={onSee}
          />
        )}
        <footer class="foot">
          <span role="status">{state.listed && count(state)}</span>
          <a href="/licences.txt">Licences</a>
        </footer>
      </section>
      {selected === undefined ? (
        <main class="details none">
          <p>Choose a chat to see its branches and their pull requests.</p>
        </main>
      ) : (
        <Details
          chats={chats}
          id={selected}
          row={rows.find(({ id }) => id === selected)}
          now={now}
          onClose={() => setSelected(undefined)}
        />
      )}
    </div>
  );
}

function count({ rows, complete }: State): string {
  const number = rows.length.toLocaleString("en");
  return `${number}${complete ? "" : "+"} ${number === "1" && complete ? "chat" : "chats"}`;
}

function Connection({ state }: { state: State }) {
  return (
    <span class={state.live ? "connection live" : "connection"} role="status">
      <span class="dot" aria-hidden="true" />
      {state.live ? "Live" : "Connecting…"}
    </span>
  );
}

/** The current time, to the second while the page is visible. */
function useNow(): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => {
      if (document.visibilityState === "visible") setNow(Date.now());
    }, 1000);
    return () => clearInterval(timer);
  }, []);
  return now;
}

/** Has the watch end some time after the page was hidden, and begin when it is seen again. */
function followAttention(sidebar: Sidebar): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const isHidden = () => document.visibilityState === "hidden";
  const changed = () => {
    clearTimeout(timer);
    if (isHidden()) timer = setTimeout(() => sidebar.sleep(), HIDDEN_MS);
    else sidebar.wake();
  };
  // A page may be opened in the background.
  if (isHidden()) changed();
  // Connections over the network of before are dead, and end with no error.
  const online = () => sidebar.reconnect();
  document.addEventListener("visibilitychange", changed);
  window.addEventListener("online", online);
  return () => {
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", changed);
    window.removeEventListener("online", online);
  };
}
