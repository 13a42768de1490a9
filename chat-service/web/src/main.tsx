// Signs in, and shows the page.
import { render } from "preact";
import { useCallback, useEffect, useState } from "preact/hooks";
import { App } from "./app";
import { forget, keep, kept, redeem, type Session, takeCode } from "./session";
import { SignIn } from "./sign_in";

type Access =
  | { is: "asked"; code: string }
  | { is: "out"; problem: string | undefined }
  | { is: "in"; session: Session };

/** A code in the address counts more than a token that was kept. */
function begin(): Access {
  const code = takeCode();
  if (code !== undefined) return { is: "asked", code };
  const session = kept();
  return session ? { is: "in", session } : { is: "out", problem: undefined };
}

function Page() {
  const [access, setAccess] = useState(begin);
  useEffect(() => {
    if (access.is !== "asked") return;
    let isCurrent = true;
    void redeem(access.code).then((answer) => {
      if (!isCurrent) return;
      setAccess(
        "token" in answer
          ? { is: "in", session: keep(answer.token) }
          : { is: "out", problem: answer.problem },
      );
    });
    return () => {
      isCurrent = false;
    };
  }, [access]);
  useEffect(() => {
    const changed = () => {
      const code = takeCode();
      if (code !== undefined) setAccess({ is: "asked", code });
    };
    window.addEventListener("hashchange", changed);
    return () => window.removeEventListener("hashchange", changed);
  }, []);
  const onSignOut = useCallback((isExpired: boolean) => {
    forget();
    const problem = isExpired ? "Your sign-in has expired, or is not accepted." : undefined;
    setAccess({ is: "out", problem });
  }, []);

  switch (access.is) {
    case "asked":
      return <main class="sign-in" aria-busy="true" aria-label="Signing in" />;
    case "out":
      return (
        <SignIn
          problem={access.problem}
          onToken={(token) => setAccess({ is: "in", session: keep(token) })}
        />
      );
    case "in":
      return <App key={access.session.token} session={access.session} onSignOut={onSignOut} />;
  }
}

const root = document.getElementById("page");
if (root) render(<Page />, root);
