// The list itself: thousands of rows, of which those in sight are elements.
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Chat } from "../gen/chat/v1/chat_pb";
import { height, Row } from "./row";
import type { Session } from "./session";
import type { State } from "./sidebar";

/** Rows beyond the edges of what is seen, so that scrolling finds them drawn. */
const OVERSCAN = 8;
/** The next page is asked for when fewer rows than these are left below. */
const AHEAD = 40;

interface Props {
  state: State;
  session: Session;
  now: number;
  selected: string | undefined;
  onSelect: (id: string) => void;
  onRefresh: (id: string) => void;
  onMore: () => void;
  onSee: (first: number, last: number) => void;
}

export function Grid(props: Props) {
  const { state, session, now, selected, onSelect, onRefresh, onMore, onSee } = props;
  const { rows } = state;
  const tops = useMemo(() => offsets(rows), [rows]);
  const total = tops[rows.length] ?? 0;

  const viewport = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 0 });
  const measure = useCallback(() => {
    const element = viewport.current;
    if (element) setView({ top: element.scrollTop, height: element.clientHeight });
  }, []);
  useLayoutEffect(() => {
    const element = viewport.current;
    if (!element) return;
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    measure();
    return () => observer.disconnect();
  }, [measure]);
  useAnchor(viewport, rows, tops);

  const first = Math.max(0, at(tops, view.top) - OVERSCAN);
  const last = Math.min(rows.length - 1, at(tops, view.top + view.height) + OVERSCAN);
  useEffect(() => onSee(first, last), [onSee, first, last]);
  useEffect(() => {
    if (!state.complete && !state.problem && last >= rows.length - AHEAD) onMore();
  }, [state.complete, state.problem, state.loading, last, rows.length, onMore]);

  const [active, setActive] = useState<{ id: string; index: number }>();
  const known = active ? rows.findIndex(({ id }) => id === active.id) : -1;
  // Where the chat is gone, its neighbour takes its place.
  const current = known >= 0 ? known : Math.min(active?.index ?? 0, rows.length - 1);
  const toFocus = useRef<string | undefined>(undefined);
  const move = (index: number) => {
    const target = Math.max(0, Math.min(index, rows.length - 1));
    const chat = rows[target];
    const element = viewport.current;
    if (!chat || !element) return;
    const [top, bottom] = [tops[target] ?? 0, tops[target + 1] ?? 0];
    if (top < element.scrollTop) element.scrollTop = top;
    else if (bottom > element.scrollTop + element.clientHeight) {
      element.scrollTop = bottom - element.clientHeight;
    }
    toFocus.current = chat.id;
    setActive({ id: chat.id, index: target });
    measure();
  };
  useLayoutEffect(() => {
    if (toFocus.current === undefined) return;
    const row = document.getElementById(`chat-${toFocus.current}`);
    if (row) {
      toFocus.current = undefined;
      row.focus({ preventScroll: true });
    }
  });

  const onKeyDown = (event: KeyboardEvent) => {
    const element = viewport.current;
    const target = event.target;
    if (!element || !(target instanceof HTMLElement) || rows.length === 0) return;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const row = target.closest<HTMLElement>("[data-chat]");
    const controls = [...(row?.querySelectorAll<HTMLElement>("a, button") ?? [])];
    const screen = Math.max(1, at(tops, view.top + view.height) - at(tops, view.top) - 1);
    const rowOf: Record<string, number> = {
      ArrowDown: current + 1,
      ArrowUp: current - 1,
      PageDown: current + screen,
      PageUp: current - screen,
      Home: 0,
      End: rows.length - 1,
    };
    const to = rowOf[event.key];
    if (to !== undefined) {
      move(to);
    } else if (event.key === "ArrowRight") {
      controls[controls.indexOf(target) + 1]?.focus();
    } else if (event.key === "ArrowLeft" && row) {
      (controls[controls.indexOf(target) - 1] ?? row).focus();
    } else if (event.key === "Enter" && target === row && row.dataset["chat"] !== undefined) {
      onSelect(row.dataset["chat"]);
    } else {
      return;
    }
    event.preventDefault();
  };
  const onFocus = (event: FocusEvent) => {
    const row = (event.target as HTMLElement).closest<HTMLElement>("[data-chat]");
    const id = row?.dataset["chat"];
    if (id !== undefined && id !== active?.id) {
      setActive({ id, index: rows.findIndex((chat) => chat.id === id) });
    }
  };

  const shown: number[] = [];
  for (let index = first; index <= last; index += 1) shown.push(index);
  // The row that has the focus stays, wherever it is.
  if (current >= 0 && (current < first || current > last)) shown.push(current);
  return (
    <div class="scroll" ref={viewport} onScroll={measure}>
      <div
        role="grid"
        aria-label="Chats"
        aria-rowcount={state.complete ? rows.length : -1}
        aria-busy={!state.listed}
        class={state.listed ? "grid" : "grid old"}
        style={{ height: `${total}px` }}
        onKeyDown={onKeyDown}
        onFocusIn={onFocus}
      >
        {shown.map((index) => {
          const chat = rows[index];
          return (
            chat && (
              <Row
                key={chat.id}
                chat={chat}
                index={index}
                top={tops[index] ?? 0}
                isActive={index === current}
                isSelected={chat.id === selected}
                isRefreshing={state.refreshing.has(chat.id)}
                mayRefresh={session.isOperator || chat.ownerId === session.userId}
                note={state.notes.get(chat.id)}
                now={now}
                onSelect={onSelect}
                onRefresh={onRefresh}
              />
            )
          );
        })}
      </div>
    </div>
  );
}

/** Where each row begins, and where the last one ends. */
function offsets(rows: readonly Chat[]): Float64Array {
  const tops = new Float64Array(rows.length + 1);
  rows.forEach((chat, index) => {
    tops[index + 1] = (tops[index] ?? 0) + height(chat);
  });
  return tops;
}

/** The row at a height. */
function at(tops: Float64Array, y: number): number {
  let low = 0;
  let high = tops.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((tops[middle] ?? 0) <= y) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Keeps what is read in its place when rows come, go or move above it. */
function useAnchor(
  viewport: { current: HTMLDivElement | null },
  rows: readonly Chat[],
  tops: Float64Array,
): void {
  const before = useRef({ rows, tops });
  useLayoutEffect(() => {
    const element = viewport.current;
    const { rows: oldRows, tops: oldTops } = before.current;
    before.current = { rows, tops };
    if (!element || element.scrollTop === 0 || oldRows === rows) return;
    // The first row in sight that is still there.
    const from = at(oldTops, element.scrollTop);
    const places = new Map(rows.map(({ id }, index) => [id, index]));
    for (let index = from; index < oldRows.length; index += 1) {
      const place = places.get(oldRows[index]?.id ?? "");
      if (place === undefined) continue;
      element.scrollTop += (tops[place] ?? 0) - (oldTops[index] ?? 0);
      return;
    }
  }, [rows, tops, viewport]);
}
