// Asks through an official SDK what stands on stdin, a JSON object a line, and prints what it
// understood.
import { createInterface } from "node:readline";

import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

async function chat({ url, stream, asked }) {
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

async function responses({ url, stream, asked }) {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "k", maxRetries: 0 });
  if (!stream) return await client.responses.create(asked);
  return await client.responses.stream(asked).finalResponse();
}

async function messages({ url, stream, asked }) {
  const client = new Anthropic({ baseURL: url, apiKey: "k", maxRetries: 0 });
  if (!stream) return await client.messages.create(asked);
  return await client.messages.stream(asked).finalMessage();
}

const ask = { openai_chat: chat, openai_responses: responses, anthropic_messages: messages };
for await (const line of createInterface({ input: process.stdin })) {
  const told = JSON.parse(line);
  let said;
  try {
    said = { whole: await ask[told.dialect](told) };
  } catch (error) {
    const { message, status = null } = error;
    said = { error: error.constructor.name, status, message: String(message) };
  }
  console.log(JSON.stringify(said));
}
