// Written by scripts/make_client_types.py from openapi.json; do not edit.

/** image or images; items, categories or both. */
export interface CropRequest {
  image?: Image;
  /** Instead of image. */
  images?: Image[];
  /** One of GET /v1/models; absent: the default model. */
  model?: string;
  /** What to find; at least one item (not a distractor) or category is needed. The server's max_items and max_text_bytes bound them, by default 100 items and 16,384 bytes of text with the categories. */
  items?: Item[];
  /** Words of the taxonomy (tops, bottoms, dress, shoes, bag, accessory, ...); any other word is used as an item. */
  categories?: string[];
  /** A box at or below this score is dropped. The default suits the model: 0.25 for Grounding DINO, 0.4 for MM-Grounding-DINO and LLMDet. */
  threshold?: number;
  /** With labels=tokens: words at or below this are left out of a label. */
  text_threshold?: number;
  /** items: each box belongs to one item; tokens: the reference's glued labels (not with categories). */
  labels?: "items" | "tokens";
  /** At most this many boxes an item or category, best first; absent: no limit. */
  count?: number;
  /** Of two boxes of one item that overlap more than this (IoU), the better stays. */
  nms?: number;
  /** A box with more than this share of its area in a better box of its item is dropped. */
  containment?: number;
  /** false: neither nms nor containment. */
  suppress?: boolean;
  /** The answer is worth nothing after this time; absent: the server's default. */
  deadline_ms?: number;
  /** Also the whole photo as a JPEG of at most so many pixels a side, for clients that cannot show its format; not with return=zip. */
  preview?: number;
  /** false: the answer's hints stay empty. */
  hints?: boolean;
  /** Added on each side, as a share of the box; clamped to the photo. */
  margin?: number;
  /** Extend the shorter side to a square. */
  square?: boolean;
  /** Extend a crop to at least this many pixels on each side. */
  min_size?: number;
  format?: "jpeg" | "png" | "webp";
  /** JPEG and WebP. */
  quality?: number;
  /** url: crops are stored and linked; base64: they are in the answer; zip: the answer is an archive of the crops and results.json. */
  return?: "url" | "base64" | "zip";
}

/** A photo by its address or as base64: JPEG, PNG, WebP, TIFF, GIF, and HEIC or AVIF where the server reads them. */
export interface Image {
  /** Comes back with the answer. */
  id?: string;
  /** http or https; private addresses are refused. */
  url?: string;
  /** A data-URL prefix is tolerated. */
  base64?: string;
}

/** Words as a person writes them, alone or with settings of their own. */
export type Item = string | {
  prompt: string;
  threshold?: number;
  count?: number;
  /** Competes with the items and is never returned. */
  distractor?: boolean;
};

/** image or images; items, categories or both. */
export interface DetectRequest {
  image?: Image;
  /** Instead of image. */
  images?: Image[];
  /** One of GET /v1/models; absent: the default model. */
  model?: string;
  /** What to find; at least one item (not a distractor) or category is needed. The server's max_items and max_text_bytes bound them, by default 100 items and 16,384 bytes of text with the categories. */
  items?: Item[];
  /** Words of the taxonomy (tops, bottoms, dress, shoes, bag, accessory, ...); any other word is used as an item. */
  categories?: string[];
  /** A box at or below this score is dropped. The default suits the model: 0.25 for Grounding DINO, 0.4 for MM-Grounding-DINO and LLMDet. */
  threshold?: number;
  /** With labels=tokens: words at or below this are left out of a label. */
  text_threshold?: number;
  /** items: each box belongs to one item; tokens: the reference's glued labels (not with categories). */
  labels?: "items" | "tokens";
  /** At most this many boxes an item or category, best first; absent: no limit. */
  count?: number;
  /** Of two boxes of one item that overlap more than this (IoU), the better stays. */
  nms?: number;
  /** A box with more than this share of its area in a better box of its item is dropped. */
  containment?: number;
  /** false: neither nms nor containment. */
  suppress?: boolean;
  /** The answer is worth nothing after this time; absent: the server's default. */
  deadline_ms?: number;
  /** Also the whole photo as a JPEG of at most so many pixels a side, for clients that cannot show its format; not with return=zip. */
  preview?: number;
  /** false: the answer's hints stay empty. */
  hints?: boolean;
}

export interface JobRequest {
  images: Image[];
  /** One of GET /v1/models; absent: the default model. */
  model?: string;
  /** What to find; at least one item (not a distractor) or category is needed. The server's max_items and max_text_bytes bound them, by default 100 items and 16,384 bytes of text with the categories. */
  items?: Item[];
  /** Words of the taxonomy (tops, bottoms, dress, shoes, bag, accessory, ...); any other word is used as an item. */
  categories?: string[];
  /** A box at or below this score is dropped. The default suits the model: 0.25 for Grounding DINO, 0.4 for MM-Grounding-DINO and LLMDet. */
  threshold?: number;
  /** With labels=tokens: words at or below this are left out of a label. */
  text_threshold?: number;
  /** items: each box belongs to one item; tokens: the reference's glued labels (not with categories). */
  labels?: "items" | "tokens";
  /** At most this many boxes an item or category, best first; absent: no limit. */
  count?: number;
  /** Of two boxes of one item that overlap more than this (IoU), the better stays. */
  nms?: number;
  /** A box with more than this share of its area in a better box of its item is dropped. */
  containment?: number;
  /** false: neither nms nor containment. */
  suppress?: boolean;
  /** false: the answer's hints stay empty. */
  hints?: boolean;
  /** Added on each side, as a share of the box; clamped to the photo. */
  margin?: number;
  /** Extend the shorter side to a square. */
  square?: boolean;
  /** Extend a crop to at least this many pixels on each side. */
  min_size?: number;
  format?: "jpeg" | "png" | "webp";
  /** JPEG and WebP. */
  quality?: number;
  return?: "url" | "base64";
}

export interface CropAnswer {
  request_id: RequestId;
  /** The itemcrop that answers. */
  version: string;
  /** Of the answer, in UTC. */
  date: string;
  model: string;
  /** What the model ran on; auto only if no image reached it. */
  device: "auto" | "cpu" | "cuda";
  precision: "auto" | "fp32" | "bf16" | "fp16";
  /** What was asked for. */
  items: Item[];
  categories: string[];
  /** How it was looked for and how crops are made, in the fields of a request; a threshold of null is the model's, of categories the taxonomy's. */
  settings: Record<string, unknown>;
  /** Lines for people: words that a model of limited knowledge was never taught, what it knows, and which to ask instead. */
  hints: string[];
  images: CropImage[];
  /** Wall-clock milliseconds of the request. */
  timing_ms: {
    total: number;
  };
}

/** Also in the header X-Request-ID; taken over from the request where it is well-formed. */
export type RequestId = string;

export interface CropImage {
  /** The id that was sent, else the image's position in the request, from "0". */
  id: string;
  /** Columns of the upright photo; null if it could not be decoded. */
  width: number | null;
  height: number | null;
  /** Best first. */
  detections: CropDetection[];
  /** Items without a detection, as asked for; distractors are never listed. */
  not_found: string[];
  /** Only where one was asked for. */
  preview?: CropFile;
  /** Why the image has no answer; null if it has one. */
  error: null | ErrorBody;
  timing_ms: ImageTiming;
}

export interface CropDetection {
  /** The item or category as it was asked for; with labels=tokens the glued label. */
  item: string;
  /** The words that the model read: of a category, the kind that was found. */
  prompt: string;
  score: Score;
  box: Box;
  /** This box's score for every item, distractors included. */
  scores: Record<string, Score>;
  /** The category that the item came from, if it came from one. */
  category?: string;
  /** Colour and kind, where the server makes one: "navy blazer". */
  description?: string;
  crop: CropFile;
}

export type Score = number;

/** x0, y0, x1, y1 in pixels of the upright original, x0 and y0 inclusive. */
export type Box = [number, number, number, number];

export interface CropFile {
  /** A path (/files/...) where the service does not know the name in Host as its own; see public_url. */
  url?: string;
  base64?: string;
  /** In the results.json of return=zip: the crop's name in the archive. */
  file?: string;
  content_type: "image/jpeg" | "image/png" | "image/webp";
  width: number;
  height: number;
}

export interface ErrorBody {
  code: "invalid_argument" | "bad_image_url" | "unauthorized" | "forbidden" | "not_found" | "method_not_allowed" | "request_timeout" | "conflict" | "length_required" | "limit_exceeded" | "unsupported_media_type" | "unsupported_image" | "corrupt_image" | "cancelled" | "overloaded" | "not_implemented" | "unavailable" | "draining" | "device_lost" | "out_of_memory" | "unsupported_device" | "unsupported_model" | "corrupt_model" | "deadline_exceeded" | "io" | "internal";
  /** A sentence that names the field, the limit and the value. */
  message: string;
  /** Where the mistake is: items[2].threshold */
  field?: string;
}

/** Wall-clock milliseconds; a batch's model time is shared out by size. */
export interface ImageTiming {
  fetch?: number;
  decode: number;
  queue?: number;
  preprocess: number;
  model: number;
  postprocess: number;
  encode: number;
  store?: number;
}

export interface DetectAnswer {
  request_id: RequestId;
  /** The itemcrop that answers. */
  version: string;
  /** Of the answer, in UTC. */
  date: string;
  model: string;
  /** What the model ran on; auto only if no image reached it. */
  device: "auto" | "cpu" | "cuda";
  precision: "auto" | "fp32" | "bf16" | "fp16";
  /** What was asked for. */
  items: Item[];
  categories: string[];
  /** How it was looked for and how crops are made, in the fields of a request; a threshold of null is the model's, of categories the taxonomy's. */
  settings: Record<string, unknown>;
  /** Lines for people: words that a model of limited knowledge was never taught, what it knows, and which to ask instead. */
  hints: string[];
  images: DetectImage[];
  /** Wall-clock milliseconds of the request. */
  timing_ms: {
    total: number;
  };
}

export interface DetectImage {
  /** The id that was sent, else the image's position in the request, from "0". */
  id: string;
  /** Columns of the upright photo; null if it could not be decoded. */
  width: number | null;
  height: number | null;
  /** Best first. */
  detections: Detection[];
  /** Items without a detection, as asked for; distractors are never listed. */
  not_found: string[];
  /** Only where one was asked for. */
  preview?: CropFile;
  /** Why the image has no answer; null if it has one. */
  error: null | ErrorBody;
  timing_ms: ImageTiming;
}

export interface Detection {
  /** The item or category as it was asked for; with labels=tokens the glued label. */
  item: string;
  /** The words that the model read: of a category, the kind that was found. */
  prompt: string;
  score: Score;
  box: Box;
  /** This box's score for every item, distractors included. */
  scores: Record<string, Score>;
  /** The category that the item came from, if it came from one. */
  category?: string;
  /** Colour and kind, where the server makes one: "navy blazer". */
  description?: string;
}

export interface Job {
  id: string;
  /** done: every image has its result, and some may have failed; failed: all of them did. */
  status: "queued" | "running" | "done" | "failed" | "cancelled";
  total: number;
  /** Images answered so far, failed ones not counted. */
  done: number;
  /** Images that ended with an error. */
  failed: number;
  links: {
    self: string;
    events: string;
  };
}

export interface JobAnswer {
  id: string;
  /** done: every image has its result, and some may have failed; failed: all of them did. */
  status: "queued" | "running" | "done" | "failed" | "cancelled";
  total: number;
  /** Images answered so far, failed ones not counted. */
  done: number;
  /** Images that ended with an error. */
  failed: number;
  links: {
    self: string;
    events: string;
  };
  /** The itemcrop that answers. */
  version: string;
  /** When the job was created, in UTC. */
  date: string;
  model: string;
  /** What was asked for. */
  items: Item[];
  categories: string[];
  /** As of /v1/crop. */
  settings: Record<string, unknown>;
  /** As of /v1/crop, of the results in this page. */
  hints: string[];
  results: CropImage[];
}

export interface Models {
  models: ({
    name: string;
    default: boolean;
    device: "auto" | "cpu" | "cuda";
    precision: "auto" | "fp32" | "bf16" | "fp16";
    parameters: number;
    ready: boolean;
    /** loading, ready, failed ... */
    state?: string;
    /** One more with every reload. */
    generation?: number;
    /** Why it is not ready. */
    reason?: string | null;
    /** Words for `categories` that the model can know. */
    categories?: string[];
    /** All that the model was taught, for people; null: it may be asked for anything. */
    taught?: string | null;
  })[];
}

export interface ItemcropError {
  error: ErrorBody;
  /** The message again, where clients of the old backend read it. */
  detail: string;
  request_id: RequestId;
}
