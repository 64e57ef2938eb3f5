// Sends what the reviewer says until the server has it. What is not yet saved is also kept in the browser, so that neither a lost
// connection nor a closed page loses it; each message has a key, so that sending it twice stores it once.

const WAITS_S = [1, 2, 4, 8, 15];
const PATIENCE_MS = 10_000;

/** A message that the server refuses, or cannot take yet. */
export class Refusal extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }

  /** Whether sending it again can help. */
  get passing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** Ask the server; gives its JSON, or throws a Refusal. */
export async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { signal: AbortSignal.timeout(PATIENCE_MS), ...options });
  } catch {
    throw new Refusal("no connection", 0);
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) {
    throw new Refusal(body.error ?? `the server answered ${response.status}`, response.status);
  }
  return body;
}

export class Outbox {
  /**
   * @param {string} csrfToken the session's
   * @param {string} owner whose messages these are; another reviewer of the same browser never sends them
   * @param {(line: string, retry: () => void) => void} onTrouble told of each failed attempt that will be repeated
   */
  constructor(csrfToken, owner, onTrouble) {
    this.csrfToken = csrfToken;
    this.place = `drive-fusion unsaved ${owner}`;
    this.onTrouble = onTrouble;
  }

  /** What was not saved when the page was last closed, or null. */
  get left() {
    try {
      return JSON.parse(localStorage.getItem(this.place));
    } catch {
      return null;
    }
  }

  /** Send a message until it is stored; gives the server's JSON, or throws the Refusal that repeating cannot help. */
  async send(path, body) {
    this.#keep({ path, body });
    for (let attempt = 0; ; attempt += 1) {
      try {
        const reply = await ask(path, {
          method: "POST",
          headers: { "Content-Type": "application/json", "X-CSRF-Token": this.csrfToken },
          body: JSON.stringify(body),
        });
        this.#keep(null);
        return reply;
      } catch (refusal) {
        if (!refusal.passing) {
          // Logged out or out of date: kept for after the next log in. Else the server has read it and said no.
          if (refusal.status !== 401 && refusal.status !== 403) {
            this.#keep(null);
          }
          throw refusal;
        }
        await this.#pause(WAITS_S[Math.min(attempt, WAITS_S.length - 1)], refusal);
      }
    }
  }

  #keep(message) {
    try {
      if (message) {
        localStorage.setItem(this.place, JSON.stringify(message));
      } else {
        localStorage.removeItem(this.place);
      }
    } catch {
      // Storage is off: the message lives as long as the page, which keeps trying.
    }
  }

  #pause(waitS, refusal) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, waitS * 1000);
      this.onTrouble(`Not saved yet (${refusal.message}). Trying again in ${waitS} s; your answer is kept.`, () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}
