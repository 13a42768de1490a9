// Why a call failed, as far as the page distinguishes.
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { Code, ConnectError } from "@connectrpc/connect";

export interface Failure {
  readonly kind: "signed-out" | "denied" | "refused" | "unreachable" | "busy" | "broken";
  /** A sentence for the user. */
  readonly text: string;
  /** The stable half of the service's error, as in `NO_WORKER_IN_TIME`. */
  readonly reason?: string;
  /** The request's id in the service's log. */
  readonly requestId?: string;
}

export function failure(error: unknown): Failure {
  const connect = ConnectError.from(error);
  const reason = reasonOf(connect);
  const requestId = connect.metadata.get("x-request-id");
  return {
    ...classify(connect, reason),
    ...(reason === undefined ? {} : { reason }),
    ...(requestId === null ? {} : { requestId }),
  };
}

function classify(error: ConnectError, reason: string | undefined): Pick<Failure, "kind" | "text"> {
  switch (error.code) {
    case Code.Unauthenticated:
      return { kind: "signed-out", text: "The sign-in is not accepted, or has expired." };
    case Code.PermissionDenied:
      return { kind: "denied", text: sentence(error.rawMessage) };
    case Code.InvalidArgument:
    case Code.FailedPrecondition:
    case Code.NotFound:
      return { kind: "refused", text: sentence(error.rawMessage) };
    case Code.ResourceExhausted:
      return { kind: "busy", text: sentence(error.rawMessage) };
    default:
      // A browser does not say why no answer came; the service's own errors have a reason.
      return reason === undefined
        ? { kind: "unreachable", text: "The chat service cannot be reached." }
        : { kind: reason === "INTERNAL" ? "broken" : "unreachable", text: sentence(error.rawMessage) };
  }
}

function sentence(text: string): string {
  const trimmed = text.trim();
  if (trimmed === "") return "Something went wrong.";
  const end = /[.!?]$/.test(trimmed) ? "" : ".";
  return trimmed.charAt(0).toUpperCase() + trimmed.slice(1) + end;
}

/** `reason` of the error's `google.rpc.ErrorInfo`, whose first field it is. */
function reasonOf(error: ConnectError): string | undefined {
  for (const detail of error.details) {
    if (!("type" in detail) || detail.type !== "google.rpc.ErrorInfo") continue;
    try {
      const reader = new BinaryReader(detail.value);
      while (reader.pos < reader.len) {
        const [field, wire] = reader.tag();
        if (field === 1 && wire === WireType.LengthDelimited) return reader.string();
        reader.skip(wire, field);
      }
    } catch {
      return undefined;
    }
  }
  return undefined;
}
