// The page's conversation: one WebSocket, pieces as they come, what each answer cost. No library.
"use strict";
const by = (id) => document.getElementById(id);
const make = (tag, kind, text) => {
  const node = document.createElement(tag);
  if (kind) node.className = kind;
  if (text !== undefined) node.textContent = text;
  return node;
};
const money = (nano) => {
  if (nano === null) return "?";
  const usd = nano / 1e9;
  return "$" + (usd === 0 ? "0" : usd < 0.0001 ? usd.toFixed(7) : usd < 0.1 ? usd.toFixed(5) : usd.toFixed(2));
};
let socket = null, suggestions = {}, open = null, last = "", waits = 250;

function connect() {
  socket = new WebSocket((location.protocol === "https:" ? "wss://" : "ws://") + location.host + "/ws");
  socket.onopen = () => { waits = 250; by("state").textContent = ""; };
  socket.onmessage = (event) => take(JSON.parse(event.data));
  socket.onclose = () => {
    if (open) { fail("The connection broke. Please ask again."); }
    by("state").textContent = "Not connected; trying again …";
    setTimeout(connect, waits = Math.min(waits * 2, 8000));
  };
}

function ask(text) {
  if (open || !text.trim()) return;
  if (!socket || socket.readyState !== WebSocket.OPEN) { by("state").textContent = "Not connected yet."; return; }
  last = text;
  by("turns").append(make("li", "mine", text));
  const turn = make("li", "theirs");
  open = { turn, said: make("p", "said"), began: performance.now(), first: null };
  turn.append(open.said);
  by("turns").append(turn);
  socket.send(JSON.stringify({ type: "message", text, language: by("language").value, age: Number(by("age").value) }));
  turn.scrollIntoView({ block: "end" });
}

function fail(text) {
  open.said.textContent = open.said.textContent || text;
  open.turn.append(make("p", "cost failed", text));
  open = null;
}

function take(piece) {
  if (piece.type === "error") {
    if (open) fail(piece.message); else by("state").textContent = piece.message;
    return;
  }
  if (!open) return;
  if (piece.type === "delta") {
    if (open.first === null) open.first = performance.now() - open.began;
    open.said.textContent += piece.text;
  } else if (piece.type === "tool") {
    tool(piece);
  } else if (piece.type === "cards") {
    cards(piece);
  } else if (piece.type === "done") {
    done(piece);
  }
  open && open.turn.scrollIntoView({ block: "nearest" });
}

function tool(piece) {
  const result = piece.result;
  if (piece.tool === "order_status" && result.order_id) {
    const order = make("div", "order");
    for (const text of [result.order_id, result.state, result.expected, result.carrier, result.items + " ×"]) {
      order.append(make("span", "", String(text)));
    }
    open.turn.append(order);
  } else if (result.ticket) {
    open.turn.append(make("p", "cost", "Handed over to a colleague, ticket " + result.ticket + "."));
  }
}

function cards(piece) {
  if (piece.products.length) {
    const row = make("div", "cards");
    for (const each of piece.products) {
      const card = make("article");
      card.append(make("h3", "", each.title + " " + each.volume));
      card.append(make("p", "", each.author + " · " + each.genre + " · " + each.age + "+"));
      card.append(make("p", "", each.price + " € · " + each.released));
      card.append(make("p", each.stock ? "stock" : "none", each.stock ? each.stock + " in stock" : "sold out"));
      row.append(card);
    }
    open.turn.append(row);
  }
  const used = piece.citations.filter((each) => each.used);
  if (piece.citations.length) {
    const sources = make("details");
    sources.append(make("summary", "", "Sources: " + (used.length || piece.citations.length) + " of " + piece.citations.length));
    for (const each of used.length ? used : piece.citations) {
      sources.append(make("blockquote", each.used ? "used" : "", each.text));
    }
    open.turn.append(sources);
  }
}

function done(piece) {
  const line = make("p", "cost");
  const baseline = piece.actual === null ? null : piece.actual + piece.saved;
  const share = baseline ? Math.round(100 * piece.saved / baseline) + " %" : "";
  const how = piece.declined ? "declined by a guardrail" : piece.intent ? "answered from the shop's books, without a model"
    : piece.models.filter(Boolean).pop() || "answered from memory";
  const seconds = ((performance.now() - open.began) / 1000).toFixed(2);
  line.append("paid " + money(piece.actual) + ", ");
  line.append(make("b", "", "saved " + money(piece.saved) + (share ? " (" + share + ")" : "")));
  line.append(" · " + how + " · " + seconds + " s");
  open.turn.append(line);
  totals(piece.session);
  open.turn.scrollIntoView({ block: "nearest" });
  open = null;
  by("text").focus();
}

function totals(session) {
  const whole = session.actual + session.saved;
  by("paid").textContent = money(session.actual);
  by("without").textContent = money(whole);
  by("saved").textContent = whole ? money(session.saved) + " (" + Math.round(100 * session.saved / whole) + " %)" : "–";
  by("count").textContent = session.turns;
  by("part").style.width = whole ? (100 * session.actual / whole) + "%" : "100%";
}

function suggest() {
  const row = by("suggestions");
  row.replaceChildren();
  for (const text of suggestions[by("language").value] || []) {
    const button = make("button", "", text);
    button.type = "button";
    button.onclick = () => ask(text);
    row.append(button);
  }
  document.documentElement.lang = by("language").value;
}

by("ask").onsubmit = (event) => {
  event.preventDefault();
  if (open) return;
  ask(by("text").value);
  by("text").value = "";
};
by("text").onkeydown = (event) => {
  if (event.key === "ArrowUp" && !by("text").value) { by("text").value = last; event.preventDefault(); }
};
document.onkeydown = (event) => {
  if (event.key === "/" && document.activeElement !== by("text")) { by("text").focus(); event.preventDefault(); }
};
by("language").onchange = suggest;
fetch("/api/shop").then((answer) => answer.json()).then((about) => {
  suggestions = about.suggestions;
  if (!by("turns").children.length) {
    for (const [question, answer] of about.history) {
      const turn = make("li", "theirs");
      turn.append(make("p", "said", answer));
      by("turns").append(make("li", "mine", question), turn);
    }
    by("turns").lastChild?.scrollIntoView({ block: "nearest" });
    totals(about.session);
  }
  by("simulated").hidden = !about.simulated;
  suggest();
}).catch(() => { by("state").textContent = "The shop cannot be reached. Reload the page."; });
connect();
