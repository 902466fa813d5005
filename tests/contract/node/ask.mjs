// Asks through an official SDK what stands on stdin, one JSON object, and prints what it understood.
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const { url, dialect, stream, asked } = JSON.parse(Buffer.concat(chunks).toString("utf8"));

async function chat() {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "k", maxRetries: 0 });
  if (!stream) return await client.chat.completions.create(asked);
  let thinking = "";
  const runner = client.chat.completions.stream({ ...asked, stream_options: { include_usage: true } });
  for await (const chunk of runner) {
    for (const choice of chunk.choices) thinking += choice.delta.reasoning_content ?? "";
  }
  const whole = await runner.finalChatCompletion();
  if (thinking) whole.choices[0].message.reasoning_content = thinking;
  return whole;
}

async function responses() {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "k", maxRetries: 0 });
  if (!stream) return await client.responses.create(asked);
  return await client.responses.stream(asked).finalResponse();
}

async function messages() {
  const client = new Anthropic({ baseURL: url, apiKey: "k", maxRetries: 0 });
  if (!stream) return await client.messages.create(asked);
  return await client.messages.stream(asked).finalMessage();
}

const ask = { openai_chat: chat, openai_responses: responses, anthropic_messages: messages };
try {
  console.log(JSON.stringify({ whole: await ask[dialect]() }));
} catch (error) {
  console.log(JSON.stringify({ error: error.constructor.name, status: error.status ?? null, message: String(error.message) }));
}
