// Light and dark, live pages, keys. Every page works without it.
"use strict";
(() => {
  const root = document.documentElement;
  const kept = (name, value) => {
    try {
      if (value === undefined) return localStorage.getItem(name);
      localStorage.setItem(name, value);
    } catch { /* no storage: the system's choice stays */ }
    return null;
  };
  const theme = kept("theme");
  if (theme) root.dataset.theme = theme;

  const turn = () => {
    const dark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    kept("theme", root.dataset.theme);
  };

  let typing = "";
  let row = -1;
  const rows = () => [...document.querySelectorAll("main tr[data-row]")];
  const move = (by) => {
    const all = rows();
    if (!all.length) return;
    all[row]?.classList.remove("at");
    row = Math.max(0, Math.min(all.length - 1, row + by));
    all[row].classList.add("at");
    all[row].scrollIntoView({ block: "nearest" });
  };

  const refresh = async () => {
    const main = document.querySelector("main[data-live]");
    if (!main || document.hidden || main.contains(document.activeElement) || document.querySelector("dialog[open]")) return;
    try {
      const reply = await fetch(location.href, { headers: { "X-Live": "1" } });
      if (reply.status === 401) return location.reload();
      if (!reply.ok) return;
      const fresh = new DOMParser().parseFromString(await reply.text(), "text/html").querySelector("main");
      if (!fresh) return;
      const open = [...main.querySelectorAll("details")].map((one) => one.open);
      const place = [...main.querySelectorAll(".wide")].map((one) => one.scrollLeft);
      main.replaceChildren(...fresh.childNodes);
      main.querySelectorAll("details").forEach((one, at) => { if (open[at]) one.open = true; });
      main.querySelectorAll(".wide").forEach((one, at) => { one.scrollLeft = place[at] || 0; });
      for (const name of ["data-live", "data-again"])
        if (fresh.hasAttribute(name)) main.setAttribute(name, fresh.getAttribute(name));
        else main.removeAttribute(name);
      if (row >= 0) move(0);
    } catch { /* the console is away: the page stays as it is */ }
  };
  const later = () => {
    const main = document.querySelector("main");
    const pause = main?.dataset.again ? 1500 : 10000;
    setTimeout(async () => { await refresh(); later(); }, pause);
  };

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelector("[data-theme-turn]")?.addEventListener("click", turn);
    document.querySelector(".menu")?.addEventListener("click", (event) => {
      const open = document.querySelector(".side").toggleAttribute("data-open");
      event.target.setAttribute("aria-expanded", open);
    });
    document.addEventListener("click", (event) => {
      const line = event.target.closest("tr[data-row]");
      if (line && !event.target.closest("a,button,input,select") && !String(getSelection())) location.href = line.dataset.row;
      if (event.target.closest("[data-help]")) document.querySelector("#help")?.showModal();
    });
    document.addEventListener("change", (event) => {
      if (event.target.matches("[data-send]")) event.target.form.requestSubmit();
    });
    document.addEventListener("submit", (event) => {
      const ask = event.submitter?.dataset.confirm;
      if (ask && !confirm(ask)) event.preventDefault();
      else if (event.target.matches("[data-busy]")) event.submitter.textContent = event.target.dataset.busy;
      // Empty fields do not belong into the URL; a hidden one that is empty is the filter "(none)".
      if (event.target.method === "get")
        for (const field of event.target.elements)
          if (!field.value && field.name && field.type !== "hidden") field.disabled = true;
    });
    addEventListener("pageshow", (event) => {
      if (event.persisted) document.querySelectorAll("form[method=get] :disabled").forEach((one) => { one.disabled = false; });
    });
    later();
  });

  document.addEventListener("keydown", (event) => {
    if (event.metaKey || event.ctrlKey || event.altKey) return;
    if (event.target.closest?.("input:not([type=checkbox]),textarea,select")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const key = event.key;
    const button = /^[a-z]$/.test(key) && typing !== "g" && document.querySelector(`main [accesskey="${key}"]`);
    if (button) {
      button.click();
      return;
    }
    if (typing === "g") {
      typing = "";
      const link = document.querySelector(`.side a[data-key="${CSS.escape(key)}"]`);
      if (link) location.href = link.href;
      return;
    }
    if (key === "g") { typing = "g"; setTimeout(() => { typing = ""; }, 1200); }
    else if (key === "j") move(1);
    else if (key === "k") move(-1);
    else if (key === "Enter" && row >= 0) location.href = rows()[row]?.dataset.row ?? location.href;
    else if (key === "t") turn();
    else if (key === "?") document.querySelector("#help")?.showModal();
    else if (key === "/") {
      const field = document.querySelector("[data-search]");
      if (field) { event.preventDefault(); field.focus(); }
      else location.href = document.querySelector('.side a[data-key="r"]')?.href ?? location.href;
    } else if (/^[1-6]$/.test(key)) {
      const link = document.querySelectorAll(".ranges a")[Number(key) - 1];
      if (link) location.href = link.href;
    }
  });
})();
