// The generated client, over gRPC-Web, with the session's token on each call.
import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { ChatService } from "../gen/chat/v1/chat_service_pb";

export type Chats = Client<typeof ChatService>;

export function chats(baseUrl: string, token: string): Chats {
  const transport = createGrpcWebTransport({
    baseUrl,
    interceptors: [
      (next) => (request) => {
        request.header.set("authorization", `Bearer ${token}`);
        return next(request);
      },
    ],
  });
  return createClient(ChatService, transport);
}
