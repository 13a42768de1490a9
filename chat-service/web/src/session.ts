// Who is signed in. The token lives in this tab alone, and in no address.

const KEY = "chat-token";
const FRAGMENT = "#sign-in=";

export interface Session {
  readonly token: string;
  /** The user's id, if the token is a user's. */
  readonly userId: string | undefined;
  /** Whether the token may ask for lookups of others' chats. */
  readonly isOperator: boolean;
}

/** Returns the one-time code in the page's address, and removes it there. */
export function takeCode(): string | undefined {
  if (!location.hash.startsWith(FRAGMENT)) return undefined;
  const code = location.hash.slice(FRAGMENT.length);
  history.replaceState(null, "", location.pathname + location.search);
  return code;
}

/** The token that a one-time code stands for, or why there is none. */
export async function redeem(code: string): Promise<{ token: string } | { problem: string }> {
  try {
    const answer = await fetch("/sign-in", { method: "POST", body: code });
    if (answer.ok) return { token: (await answer.text()).trim() };
    return {
      problem:
        answer.status === 429
          ? "Too many attempts to sign in. Try again in a minute."
          : "This sign-in link was used before, or is not valid any more.",
    };
  } catch {
    return { problem: "The chat service cannot be reached." };
  }
}

export function kept(): Session | undefined {
  const token = sessionStorage.getItem(KEY);
  return token === null ? undefined : session(token);
}

export function keep(token: string): Session {
  sessionStorage.setItem(KEY, token);
  return session(token);
}

export function forget(): void {
  sessionStorage.removeItem(KEY);
}

/** What the page needs to know of a token. Whether it is good, the service says. */
function session(token: string): Session {
  const claims = claimsOf(token);
  const isUser = claims["kind"] === "user" && typeof claims["sub"] === "string";
  const roles = claims["site_roles"];
  return {
    token,
    userId: isUser ? String(claims["sub"]) : undefined,
    isOperator: !isUser || (Array.isArray(roles) && roles.includes("admin")),
  };
}

function claimsOf(token: string): Record<string, unknown> {
  try {
    const payload = token.split(".")[1] ?? "";
    const text = atob(payload.replaceAll("-", "+").replaceAll("_", "/"));
    const claims: unknown = JSON.parse(text);
    return typeof claims === "object" && claims !== null ? { ...claims } : {};
  } catch {
    return {};
  }
}
