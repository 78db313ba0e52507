// Search and ask, with the proof one click away. Everything is built with createElement and textContent: text from documents is never markup.
const byId = (id) => document.getElementById(id);
const encoder = new TextEncoder();
const decoder = new TextDecoder();
const keyName = "acp-api-key";

function element(tag, text = "", className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function button(text, label, action) {
  const made = element("button", text, "chip");
  made.type = "button";
  made.setAttribute("aria-label", label);
  made.addEventListener("click", action);
  return made;
}

// The API counts UTF-8 bytes, the browser UTF-16 units: cut the bytes, then decode each piece.
function marked(target, text, spans) {
  const bytes = encoder.encode(text);
  const piece = (from, to) => decoder.decode(bytes.subarray(from, to));
  target.replaceChildren();
  let at = 0;
  for (const span of spans) {
    const start = Math.max(at, Math.min(Number(span.start ?? 0), bytes.length));
    const end = Math.max(start, Math.min(Number(span.end ?? 0), bytes.length));
    if (start === end) continue;
    target.append(piece(at, start), element("mark", piece(start, end)));
    at = end;
  }
  target.append(piece(at, bytes.length));
  return target;
}

async function call(path, body) {
  const headers = { Accept: "application/json" };
  const key = sessionStorage.getItem(keyName);
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body) headers["Content-Type"] = "application/json";
  const response = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body) });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    if (response.status === 401 && !key) throw new Error("Enter an API key first: an administrator issues them.");
    const said = [answer.detail ?? `The gateway answered ${response.status}.`, answer.remedy].filter(Boolean).join(" ");
    throw new Error(answer.requestId ? `${said} (request ${answer.requestId})` : said);
  }
  return answer;
}

function status(text, isProblem = false) {
  const line = byId("status");
  line.textContent = text;
  line.classList.toggle("problem", isProblem);
}

function place(item) {
  // A document's title is often its first heading, too.
  const headings = item.headingPath ?? [];
  const parts = [item.title || item.origin, ...headings.slice(headings[0] === item.title ? 1 : 0)];
  if (item.page) parts.push(`page ${item.page}`);
  return parts.filter(Boolean).join(" › ");
}

// Opens the stored text around a citation and compares it with the quote.
async function openSource(citation) {
  const from = Number(citation.chunkStart ?? citation.start ?? 0);
  const to = Number(citation.chunkEnd ?? citation.end ?? 0);
  const span = { start: Number(citation.start ?? 0) - from, end: Number(citation.end ?? 0) - from };
  try {
    const stored = await call(`/v1/revisions/${encodeURIComponent(citation.revisionId)}/text?start=${from}&end=${to}`);
    const text = stored.text ?? "";
    const there = decoder.decode(encoder.encode(text).subarray(span.start, span.end));
    byId("source-title").textContent = place(citation) || "Source";
    byId("source-note").textContent =
      (there === citation.quote ? "The quote is in the stored text, word for word." : "The stored text differs from the quote.") +
      ` Bytes ${citation.start ?? 0} to ${citation.end ?? 0} of revision ${citation.revisionId}.`;
    marked(byId("source-text"), text, [span]);
    byId("source").showModal();
    byId("source-text").querySelector("mark")?.scrollIntoView({ block: "center" });
  } catch (error) {
    status(error.message, true);
  }
}

function hitCard(hit) {
  const card = element("article");
  card.append(element("h3", place(hit) || hit.documentId));
  card.append(marked(element("p"), hit.text ?? "", hit.highlights ?? []));
  card.append(element("p", [hit.collection, hit.origin, `score ${(hit.score ?? 0).toFixed(2)}`].filter(Boolean).join(" · "), "place"));
  return card;
}

function showHits(found) {
  const hits = found.hits ?? [];
  const missing = found.unmatchedTerms ?? [];
  status(
    (hits.length ? `${hits.length} of ${found.candidates ?? hits.length} passages.` : "Nothing was found.") +
    (missing.length ? ` Found nowhere: ${missing.join(", ")}.` : ""));
  byId("results").replaceChildren(...hits.map(hitCard));
}

const outcomes = {
  ANSWERED: "Answered from the documents.",
  PARTIALLY_ANSWERED: "Answered in part: some of the question is not in the documents.",
  ABSTAINED: "Not in the documents. No answer is better than one without proof.",
};

function showAnswer(answer) {
  const results = byId("results");
  results.replaceChildren();
  status([outcomes[answer.outcome] ?? "", answer.explanation].filter(Boolean).join(" "));
  const sentences = answer.sentences ?? [];
  if (sentences.length) {
    const card = element("article");
    card.append(element("h2", "Answer"));
    let number = 0;
    for (const sentence of sentences) {
      const line = element("p", sentence.text ?? "");
      for (const citation of sentence.citations ?? []) {
        number += 1;
        line.append(button(`${number}`, `Source ${number}: ${place(citation)}`, () => openSource(citation)));
      }
      if (sentence.verdict && sentence.verdict !== "SUPPORTED") {
        line.append(element("span", ` (${sentence.verdict.toLowerCase().replaceAll("_", " ")})`, "problem"));
      }
      card.append(line);
    }
    results.append(card);
  }
  const passages = answer.passages ?? [];
  if (passages.length) {
    results.append(element("h2", sentences.length ? "Passages behind it" : "The nearest passages"), ...passages.map(hitCard));
  }
}

byId("question-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = byId("question").value.trim();
  if (!text) return;
  const isSearch = event.submitter?.value === "search";
  byId("results").replaceChildren();
  byId("results").setAttribute("aria-busy", "true");
  status(isSearch ? "Searching…" : "Looking for an answer…");
  try {
    if (isSearch) showHits(await call("/v1/search", { query: text }));
    else showAnswer(await call("/v1/answers", { question: text }));
  } catch (error) {
    status(error.message, true);
  } finally {
    byId("results").setAttribute("aria-busy", "false");
  }
});

byId("key-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const key = byId("key").value.trim();
  byId("key").value = "";
  const before = sessionStorage.getItem(keyName);
  if (key) sessionStorage.setItem(keyName, key);
  try {
    const me = await call("/v1/whoami");
    status(`Signed in as ${me.name} (${me.role}).`);
  } catch (error) {
    // A key that does not work must not take the place of one that does.
    if (before) sessionStorage.setItem(keyName, before);
    else sessionStorage.removeItem(keyName);
    status(error.message, true);
  }
});

byId("forget").addEventListener("click", () => {
  sessionStorage.removeItem(keyName);
  byId("results").replaceChildren();
  status("The key was forgotten.");
});

if (!sessionStorage.getItem(keyName)) status("Enter an API key to begin; it stays in this tab only.");
