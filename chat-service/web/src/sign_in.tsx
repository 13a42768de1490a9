// The form that stands in place of the page until a user has signed in.
import { useState } from "preact/hooks";
import { Icon } from "./icons";

interface Props {
  problem: string | undefined;
  onToken: (token: string) => void;
}

export function SignIn({ problem, onToken }: Props) {
  const [token, setToken] = useState("");
  return (
    <main class="sign-in">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          const trimmed = token.trim().replace(/^Bearer\s+/i, "");
          if (trimmed !== "") onToken(trimmed);
        }}
      >
        <Icon name="key" tone="gray" size={28} />
        <h1>Sign in to your chats</h1>
        {problem !== undefined && (
          <p class="notice" role="alert">
            {problem}
          </p>
        )}
        <label>
          Bearer token
          <input
            type="password"
            name="token"
            autocomplete="off"
            spellcheck={false}
            value={token}
            onInput={(event) => setToken(event.currentTarget.value)}
          />
        </label>
        <button type="submit" class="primary" disabled={token.trim() === ""}>
          Sign in
        </button>
        <p class="small">It stays in this tab, and goes nowhere but to this service.</p>
      </form>
    </main>
  );
}
