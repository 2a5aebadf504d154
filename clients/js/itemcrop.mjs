// A client of itemcrop for Node 18 and later, Next.js and other servers: fetch and nothing else.
// Types: types.d.ts, which is made of the service's openapi.json.

/**
 * A request that was refused or that failed. `passing`: worth trying again later; the rest stays as
 * it is until the request, the photo or a setting changes.
 */
export class ItemcropFailure extends Error {
  /**
   * @param {number} status
   * @param {import("./types").ErrorBody} error
   * @param {string} requestId
   */
  constructor(status, error, requestId) {
    super(error.message);
    this.name = "ItemcropFailure";
    this.status = status;
    this.code = error.code;
    this.field = error.field;
    this.requestId = requestId;
    this.passing = [408, 429, 502, 503, 504].includes(status);
  }
}

const wait = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

/** Seconds to wait before another try: what the service says, else longer each time. */
function pauseBefore(attempt, answer) {
  const told = Number(answer?.headers.get("retry-after"));
  return (told > 0 ? Math.min(told, 30) : Math.min(0.5 * 2 ** attempt, 8)) + Math.random() * 0.25;
}

async function failureOf(answer) {
  const text = await answer.text();
  try {
    const { error, request_id: requestId } = JSON.parse(text);
    return new ItemcropFailure(answer.status, error, requestId);
  } catch {
    // A proxy's own page.
    return new ItemcropFailure(answer.status, { code: "unavailable", message: `status ${answer.status}` }, "");
  }
}

/**
 * @param {{url: string, key?: string, retries?: number, timeoutSeconds?: number}} service
 */
export function itemcrop({ url, key, retries = 3, timeoutSeconds = 90 }) {
  const base = url.replace(/\/+$/, "");
  const authorization = key ? { Authorization: `Bearer ${key}` } : {};

  async function post(path, body, headers = {}) {
    for (let attempt = 0; ; ++attempt) {
      let answer;
      try {
        answer = await fetch(base + path, {
          method: "POST",
          body,
          headers: { ...authorization, ...headers },
          signal: AbortSignal.timeout(timeoutSeconds * 1000),
        });
      } catch (problem) {
        if (attempt >= retries) throw problem;
        await wait(pauseBefore(attempt));
        continue;
      }
      if (answer.ok) return answer.json();
      const failure = await failureOf(answer);
      if (!failure.passing || attempt >= retries) throw failure;
      await wait(pauseBefore(attempt, answer));
    }
  }

  return {
    /**
     * Crops a photo that can be fetched: {image: {url}, items: ["navy blazer"], ...}
     * @param {import("./types").CropRequest} request
     * @returns {Promise<import("./types").CropAnswer>}
     */
    crop: (request) => post("/v1/crop", JSON.stringify(request), { "Content-Type": "application/json" }),

    /**
     * Crops a file: a Blob or File, as of a form.
     * @param {Blob} photo
     * @param {Omit<import("./types").CropRequest, "image" | "images">} options
     * @returns {Promise<import("./types").CropAnswer>}
     */
    cropFile: (photo, options) => {
      const form = new FormData();
      form.append("options", JSON.stringify(options));
      form.append("image", photo);
      return post("/v1/crop", form);
    },

    /**
     * Finds items without making crops.
     * @param {import("./types").DetectRequest} request
     * @returns {Promise<import("./types").DetectAnswer>}
     */
    detect: (request) => post("/v1/detect", JSON.stringify(request), { "Content-Type": "application/json" }),
  };
}
