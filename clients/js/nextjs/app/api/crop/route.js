// POST /api/crop of a Next.js application (app router): takes the page's form with a photo in `image`
// and words in `items`, asks itemcrop, and gives the page what it shows.
//
// The key stays here, on the server: whatever a browser is given, its user and every script of the page
// can read and use elsewhere. So ITEMCROP_KEY has no NEXT_PUBLIC_ in front, and the page calls this
// route instead of itemcrop. Decide here who of your users may call, and how often.
import { ItemcropFailure, itemcrop } from "../../../../itemcrop.mjs"; // a copy beside your own modules

const MAX_BYTES = 20_000_000; // as itemcrop's max_image_bytes

/** @param {Request} request */
export async function POST(request) {
  const service = itemcrop({ url: process.env.ITEMCROP_URL ?? "http://127.0.0.1:8000", key: process.env.ITEMCROP_KEY });
  const form = await request.formData();
  const photo = form.get("image");
  const items = String(form.get("items") ?? "").split(",").map((item) => item.trim()).filter(Boolean);
  if (!(photo instanceof Blob) || photo.size > MAX_BYTES || items.length === 0) {
    return Response.json({ error: "Send a photo of up to 20 MB in `image` and words in `items`." }, { status: 422 });
  }
  try {
    const { images: [image] } = await service.cropFile(photo, { items, return: "base64" });
    return Response.json({
      crops: image.detections.map(({ item, score, crop }) => ({
        item,
        score,
        src: `data:${crop.content_type};base64,${crop.base64}`,
      })),
      notFound: image.not_found,
    });
  } catch (problem) {
    if (!(problem instanceof ItemcropFailure)) {
      return Response.json({ error: "The service cannot be reached; try again later." }, { status: 502 });
    }
    // 401 and 403 are between this server and itemcrop; a user can mend only what they sent.
    const mine = problem.status === 401 || problem.status === 403;
    return Response.json(
      { error: mine ? "The service is not available." : problem.message, again: problem.passing },
      { status: mine ? 502 : problem.status },
    );
  }
}
