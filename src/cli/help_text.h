#pragma once

/// The prose of --help; the flags' own lines stand where they are defined, in command_line.cpp.
namespace itemcrop::cli::help {

inline constexpr const char* kProgram = "Give it a photo and words; get back each item, cut out.\n";

inline constexpr const char* kProgramFooter = R"(Examples:
  itemcrop crop look.jpg --items "navy blazer, pants, shoes"
  itemcrop crop photos/ --items "dress, skirt" --out cut --format webp
  itemcrop detect look.jpg --items "hat" | jq '.images[0].detections'
  itemcrop models pull llmdet-tiny
  itemcrop doctor

Exit codes:
  0  everything went well        4  device: not available, lost or out of memory
  1  some photos failed          5  the output cannot be written
  2  wrong arguments             6  a bug in itemcrop
  3  model: missing or broken    130  interrupted; finished photos are kept

'itemcrop help COMMAND' explains a command; 'man itemcrop' explains everything.
)";

inline constexpr const char* kCropFooter = R"(Writes beneath the output folder:
  crops/NAME_NN_ITEM.jpg  each item, a rectangle from the photo's full resolution
  annotated/NAME.jpg      each photo with its boxes
  results.json            everything found, with all scores (docs/results.schema.json)
  index.html              a contact sheet; open it in a browser
Results that are there already are moved to previous/ once a photo was read.

Examples:
  itemcrop crop look.jpg --items "navy blazer, pants"
  itemcrop crop photos/ --items "dress, shoes" --out cut --threshold 0.35 --count 1
  itemcrop crop look.jpg --categories "tops, bottoms, shoes"
  itemcrop crop 'shoot/*.heic' --items '["shirt, striped"]' --margin 0.1 --square --format png
  itemcrop crop room.jpg --items jacket --distractor curtain --item-threshold jacket=0.4
  itemcrop crop https://example.com/look.jpg --items hat
  cat look.jpg | itemcrop crop - --items hat --json - | jq .

An item not found? Lower --threshold, or say it in other words. Too many? Raise it, or set
--count. Something else taken for an item? Name it with --distractor.
)";

inline constexpr const char* kDetectFooter = R"(Examples:
  itemcrop detect look.jpg --items "navy blazer, pants"
  itemcrop detect photos/ --items dress --json found.json
  itemcrop detect look.jpg --items "hat. shoes." --labels tokens --precision fp32
)";

inline constexpr const char* kInfoFooter = R"(Examples:
  itemcrop info
  itemcrop info ./grounding-dino-tiny --json
)";

inline constexpr const char* kVerifyFooter =
    R"(Loads the model strictly, checks every number in it, and compares detections with expected ones
where they are known: those stored beside the embedded model, and for grounding-dino-tiny the
published ones of COCO's photo 000000039769 (640 x 480), which you provide.

Examples:
  itemcrop verify
  itemcrop verify IDEA-Research/grounding-dino-tiny 000000039769.jpg
)";

inline constexpr const char* kDoctorFooter = R"(Examples:
  itemcrop doctor
  itemcrop doctor --json
)";

inline constexpr const char* kServeFooter =
    R"(Every setting is a flag, a variable and a key of the TOML file: --max-pixels, ITEMCROP_MAX_PIXELS,
max_pixels. Flags win over variables, variables over the file. Lists are separated by commas or
given by repeating the flag. SIGTERM finishes what is in hand; SIGHUP loads the models again.

Examples:
  itemcrop serve                                     # then open http://127.0.0.1:8000/ui
  itemcrop serve --host 0.0.0.0 --api-keys "$KEY" --cors-origins https://shop.example
  itemcrop serve --print-config > itemcrop.toml; itemcrop serve --config itemcrop.toml
  curl -s http://127.0.0.1:8000/v1/crop -F image=@look.jpg -F items="navy blazer, pants"
)";

inline constexpr const char* kModelsFooter =
    R"(pull brings the files of a checkpoint that itemcrop reads into the Hugging Face cache, where Python
finds them too. Interrupted, it goes on where it ended. HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN
and HF_HUB_OFFLINE mean what they mean there.

Examples:
  itemcrop models list --known
  itemcrop models pull llmdet-tiny
  itemcrop models pull IDEA-Research/grounding-dino-base --revision main
  itemcrop models list
  itemcrop crop room.jpg --items "coffee mug" --model llmdet-tiny
)";

inline constexpr const char* kCompletionFooter = R"(Examples:
  bash  itemcrop completion bash > ~/.local/share/bash-completion/completions/itemcrop
  zsh   itemcrop completion zsh > "${fpath[1]}/_itemcrop"
  fish  itemcrop completion fish > ~/.config/fish/completions/itemcrop.fish
)";

}  // namespace itemcrop::cli::help
