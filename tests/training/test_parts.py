"""Prompts, vocabulary, matching, optimizer and scenes, each by itself."""

import itertools
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from training import (
    captions,
    data,
    evaluate,
    losses,
    matching,
    model,
    optimizer,
    scenes,
    teacher,
    vocabulary,
    wardrobe,
)

FULL = ["[PAD]", *(f"[unused{i}]" for i in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
FULL += [f"[unused{i}]" for i in range(99, 1008)] + [".", *(f"[unused{i}]" for i in range(1008, 1024)), "?"]
FULL += list("abcdefghijklmnopqrstuvwxyz-'") + [f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz"]
FULL += ["shirt", "pants", "black", "red", "dress", "hood", "##ie", "zebra"]


SHIPPED = Path(__file__).resolve().parents[2] / "models" / "wardrobe" / "vocab.txt"


@pytest.fixture(scope="module")
def nothing():
    return captions.Nothing(vocabulary.read(SHIPPED))


@pytest.fixture
def tokenizer():
    return captions.Tokenizer(vocabulary.select(FULL, wardrobe.all_words(), 100, 10))


def garment(label: str, colour: str = "", sender: str = "1") -> data.Garment:
    return data.Garment("x", label, colour, 256, 256, (40, 40, 200, 220), sender)


def test_vocabulary_keeps_the_ids_that_prompts_are_cut_at():
    kept = vocabulary.select(FULL, ["hoodie"], words=2, pieces=0)
    assert all(kept[i] == t for t, i in vocabulary.FIXED_IDS.items())
    assert len(set(kept)) == len(kept)
    assert vocabulary.wordpiece("hoodie", set(kept)) == ["hood", "##ie"]
    assert "zebra" not in kept  # third word of the list: only two were asked for
    assert vocabulary.wordpiece("zebra", set(kept)) == ["z", "##e", "##b", "##r", "##a"]


def test_prompt_marks_only_the_words_of_the_right_item(tokenizer):
    items = [captions.Item("a red dress", ("Dress",)), captions.Item("pants", ("Pants",))]
    prompt = captions.build(tokenizer, items, [garment("Dress")], 20)
    words = [list(tokenizer.ids)[i] for i in prompt.ids if i]
    assert words == ["[CLS]", "a", "red", "dress", ".", "pants", ".", "[SEP]"]
    assert prompt.spans == [(2, 4), (5, 6)]  # the article is no part of an item
    assert np.flatnonzero(prompt.answers[0]).tolist() == [2, 3]
    covered = {at: wardrobe.LABELS[label] for at, label in zip(*prompt.covers.nonzero())}
    assert covered == {2: "Dress", 3: "Dress", 5: "Pants"}


def test_items_that_do_not_fit_are_left_out_whole(tokenizer):
    items = [captions.Item("dress", ("Dress",))] * 10
    prompt = captions.build(tokenizer, items, [garment("Dress")], 8)
    assert len(prompt.spans) == 3
    assert prompt.ids[7] == tokenizer.sep


def test_near_miss_colours_are_never_near(tokenizer):
    rng = random.Random(0)
    here = [garment("Pants", "navy"), garment("Pants", "red")]
    for _ in range(200):
        for item in captions._colour_items(here, rng):
            if item.text in ("blue pants", "black pants"):  # mixed up with navy by many
                assert item.answer(here[0]) == -1
            if item.text == "red pants":
                assert (item.answer(here[0]), item.answer(here[1])) == (0, 1)


def test_no_name_is_said_of_other_labels_elsewhere():
    said: dict[str, tuple] = {}
    for label, names in wardrobe.NAMES.items():
        for name in names:
            assert said.setdefault(name, (label,)) == (label,)
    for group, labels in wardrobe.GROUPS.items():
        assert said.get(group, tuple(labels)) == tuple(labels)
    assert not {*said, *wardrobe.GROUPS} & set(wardrobe.ABSENT)


def test_words_for_nothing_have_nothing_to_do_with_clothes(nothing):
    words = nothing.taught + nothing.held_out
    assert len(nothing.taught) > 900 and 0.08 < len(nothing.held_out) / len(words) < 0.14
    assert len(set(words)) == len(words) and all(w.isalpha() and len(w) >= 3 for w in words)
    phrases = [
        *wardrobe.GROUPS,
        *(n for names in (wardrobe.NAMES | wardrobe.COLOURS).values() for n in names),
    ]
    about = {w for phrase in phrases for w in phrase.replace("-", " ").split()} | {
        *wardrobe.all_words(),
        *wardrobe.SHOP_WORDS,
    }
    assert not about & set(words)
    for (
        word
    ) in "and with the for uniform skin jean military small wearing striped steel tea jumps crown".split():
        assert word not in words
    assert "traffic" in nothing.taught
    again = captions.Nothing(vocabulary.read(SHIPPED))
    assert (again.taught, again.held_out) == (nothing.taught, nothing.held_out)


def test_words_for_nothing_come_from_all_lists_and_never_from_the_held_out(nothing):
    rng = random.Random(0)
    drawn = [item for _ in range(1000) for item in nothing.items(rng, 2)]
    assert all(a.text != b.text for a, b in zip(drawn[::2], drawn[1::2])) and not any(
        item.labels for item in drawn
    )
    old = [item.text in wardrobe.ABSENT for item in drawn]
    things = [item.text in nothing.things and not is_old for item, is_old in zip(drawn, old)]
    assert np.mean(old) == pytest.approx(0.36, abs=0.05) and np.mean(things) == pytest.approx(0.24, abs=0.05)
    fresh = [item.text.split() for item, *listed in zip(drawn, old, things) if not any(listed)]
    assert np.mean([len(words) == 2 for words in fresh]) == pytest.approx(captions.PAIRS, abs=0.05)
    allowed = {*nothing.taught, *wardrobe.ABSENT}
    assert all(set(words) <= allowed and set(words) & set(nothing.taught) for words in fresh)
    assert set(nothing.things) | set(nothing.unmet_things) == set(wardrobe.THINGS)
    assert not set(nothing.things) & set(nothing.unmet_things) and len(nothing.unmet_things) >= 10
    unmet = [nothing.unmet(rng).text for _ in range(500)]
    words = [text.split() for text in unmet if text not in nothing.unmet_things]
    assert (
        200 < len(words) < 400
        and {len(w) for w in words} == {1, 2}
        and all(set(w) <= set(nothing.held_out) for w in words)
    )


def test_a_vocabulary_without_words_for_nothing_leaves_the_written_lists():
    bare = captions.Nothing([*vocabulary.FIXED_IDS])
    assert not bare.taught and not bare.held_out
    texts = {item.text for item in bare.items(random.Random(0), 4)}
    assert len(texts) == 4 and texts <= {*wardrobe.ABSENT, *wardrobe.THINGS}


def test_kinds_of_prompts_come_as_often_as_they_should(nothing):
    assert sum(captions.KINDS.values()) == pytest.approx(1)
    rng = random.Random(1)
    here = [garment("Shirt", "red"), garment("Pants", "navy")]
    prompts = [captions.sample_items(here, rng, nothing) for _ in range(4000)]
    alone = [items[0] for items in prompts if len(items) == 1 and not items[0].colour]
    one_label = sum(len(item.labels) == 1 for item in alone) / len(prompts)
    silent = sum(not item.labels for item in alone) / len(prompts)
    assert one_label == pytest.approx(
        captions.KINDS["one class alone"], abs=0.04
    )  # some groups are one label
    # Some prompts for nothing that is there are one word too.
    assert captions.KINDS["one word for nothing alone"] - 0.01 < silent < 0.07
    every = sum(
        {label for item in items for label in item.labels} == set(wardrobe.LABELS) for items in prompts
    )
    assert every / len(prompts) == pytest.approx(captions.KINDS["every class"], abs=0.03)


def test_old_categories_are_names_of_one_group():
    rng = random.Random(2)
    seen = set()
    for _ in range(300):
        items = captions._category(rng)
        texts = [item.text for item in items]
        assert 3 <= len(items) <= 8 and len(set(texts)) == len(texts)
        labels = {label for item in items for label in item.labels}
        seen.add(
            next((i for i, group in enumerate(wardrobe.CATEGORIES) if labels <= set(group)), None)
            if labels
            else 4
        )
        for item in items:
            assert item.text in (wardrobe.NAMES[item.labels[0]] if item.labels else wardrobe.ACCESSORIES)
    assert seen == set(range(5))


class OneBox:
    """A predictor that sees one box in every picture, of a score by the item's first letter; keeps what it was asked."""

    def __init__(self):
        self.asked: list[str] = []

    def __call__(self, pictures, prompts):
        self.asked += [item.text for items in prompts for item in items]
        scores = [0.3 if items[0].text < "m" else 0.1 for items in prompts]
        return [
            evaluate.Found(torch.tensor([[0.0, 0.0, 9.0, 9.0]]), torch.tensor([0]), torch.tensor([s]))
            for s in scores
        ]


class TwoScenes:
    """Stands in for ``evaluate.Scenery``: empty pictures, without composing."""

    seed, any = 7, None

    def batches(self, count, draw):
        for at in range(0, count, 2):
            yield [evaluate.Scene(torch.zeros(3, 4, 4), torch.zeros(0, 4), [garment("Hat")])] * min(
                2, count - at
            )


def test_figures_of_words_that_training_never_met(nothing):
    predict = OneBox()
    figures = evaluate.unmet(predict, TwoScenes(), 31, nothing)
    assert figures["scenes"] == len(predict.asked) == 31
    words = {word for text in predict.asked if text not in nothing.unmet_things for word in text.split()}
    assert words <= set(nothing.held_out)
    raised = sum(text < "m" for text in predict.asked) / 31
    assert 0 < raised < 1 and figures["raised"] == pytest.approx(raised)
    assert figures["mean of the highest score"] == pytest.approx(0.3 * raised + 0.1 * (1 - raised))
    again = OneBox()
    evaluate.unmet(again, TwoScenes(), 31, nothing)
    assert again.asked == predict.asked


def test_greedy_matching_is_one_to_one_and_near_the_optimum():
    torch.manual_seed(0)
    cost = torch.rand(50, 7, 3)
    valid = torch.ones(50, 3, dtype=torch.bool)
    valid[:, 2] = torch.arange(50) % 2 == 0
    pairs = matching.one_to_one(cost, valid)
    assert (pairs.sum(1) == valid).all() and (pairs.sum(2) <= 1).all()
    greedy = (cost * pairs).sum((1, 2))
    best = torch.tensor(
        [
            min(
                sum(cost[b, q, k].item() for k, q in enumerate(p))
                for p in itertools.permutations(range(7), 3 if valid[b, 2] else 2)
            )
            for b in range(50)
        ]
    )
    assert (greedy >= best - 1e-5).all() and (greedy - best).mean() < 0.05


def test_one_to_many_gives_a_contested_candidate_to_the_cheaper_target():
    cost = torch.tensor([[[0.1, 0.2], [0.5, 0.3], [0.9, 0.9]]])
    inside = torch.tensor([[[True, True], [True, True], [False, True]]])
    pairs = matching.one_to_many(cost, torch.ones(1, 2, dtype=torch.bool), inside, 2)
    assert pairs[0].tolist() == [[True, False], [False, True], [False, False]]


def test_giou_of_known_boxes():
    a, b = torch.tensor([0.0, 0.0, 2.0, 2.0]), torch.tensor([1.0, 1.0, 3.0, 3.0])
    iou, giou = matching.iou_and_giou(a, b)
    assert iou.item() == pytest.approx(1 / 7)
    assert giou.item() == pytest.approx(1 / 7 - 2 / 9)


def test_orthogonalized_matrix_has_singular_values_near_one():
    torch.manual_seed(0)
    for shape in [(2, 32, 96), (2, 96, 32)]:
        values = torch.linalg.svdvals(optimizer.orthogonalize(torch.randn(shape)).float())
        assert values.min() > 0.4 and values.max() < 1.4


def test_muon_takes_inner_matrices_only():
    weight = torch.zeros(64, 64)
    assert optimizer.is_inner("x.encoder.layers.0.blocks.1.attention.q_proj.weight", weight)
    assert optimizer.is_inner("x.decoder.layers.0.self_attn.query.weight", weight)
    assert not optimizer.is_inner("x.text_backbone.encoder.layer.0.output.dense.weight", weight)
    assert not optimizer.is_inner("x.query_position_embeddings.weight", weight)
    assert not optimizer.is_inner("x.sampling_offsets.weight", weight)


def small_bank() -> data.Bank:
    """Two photos: a red and a green rectangle, right to the pixel."""
    photos = torch.zeros(2, 4, data.SIDE, data.SIDE, dtype=torch.uint8)
    for i in range(2):
        photos[i, i, 40:220, 40:200] = 255
        photos[i, 3, 40:220, 40:200] = 255
    size = torch.full((2, 2), 256.0)
    patches = torch.full((4, 3, data.PATCH, data.PATCH), 128, dtype=torch.uint8)
    return data.Bank(
        [garment("Dress", "red"), garment("Pants", "green")],
        photos,
        torch.tensor([[120.0, 130.0]]).repeat(2, 1),
        torch.tensor([[160.0, 180.0]]).repeat(2, 1),
        size,
        patches,
        torch.zeros(4, dtype=torch.bool),
    )


@pytest.mark.parametrize("kind", [scenes.FLAT, scenes.PHOTO])
def test_boxes_hold_the_garment_that_was_drawn(kind):
    composer = scenes.Composer(small_bank(), validation=False, seed=3, augment=False)
    photos, present = torch.tensor([[0]] * 6), torch.ones(6, 1, dtype=torch.bool)
    scene = composer.compose(photos, present, torch.full((6,), kind), 96, 128)
    for picture, box, ok in zip(scene.pictures, scene.boxes[:, 0], scene.ok[:, 0]):
        assert ok
        red = (picture[0] > 0.5) & (picture[1] < 0.25) & (picture[2] < 0.25)
        x0, y0, x1, y1 = (matching.corners(box) * torch.tensor([128, 96, 128, 96])).tolist()
        rows, columns = red.any(1).nonzero(), red.any(0).nonzero()
        assert columns.min() == pytest.approx(x0, abs=3) and columns.max() + 1 == pytest.approx(x1, abs=3)
        assert rows.min() == pytest.approx(y0, abs=3) and rows.max() + 1 == pytest.approx(y1, abs=3)


def test_plans_are_the_same_for_the_same_seed(tokenizer):
    table = [garment(label, "red") for label in wardrobe.LABELS]
    planner = scenes.Planner(table, list(range(len(table))), tokenizer, scenes.PlannerConfig())
    a, b = (planner.batch(random.Random(5), 8) for _ in range(2))
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not torch.equal(a["photos"], planner.batch(random.Random(6), 8)["photos"])


def test_senders_are_never_on_both_sides():
    sides = {}
    for sender in map(str, range(500)):
        sides.setdefault(data.is_validation(sender), []).append(sender)
    assert 0.05 < len(sides[True]) / 500 < 0.25
    assert garment("Hat", sender=sides[True][0]).validation


def test_teachers_share_a_name_and_an_unseen_slot_keeps_its_label():
    label = torch.tensor([[0, 3]])
    names = torch.zeros(3, len(wardrobe.LABELS))
    names[:, 5] = 1.0
    # The second slot was seen by its own fold; the others list both without having seen them.
    view = teacher.View(
        torch.tensor([1, 0, 1]), torch.tensor([True, False, False]), names, torch.zeros(1, 3, teacher.WIDTH)
    )
    nothing = torch.zeros(1)
    targets = losses.Targets(nothing, nothing, nothing, nothing, label, nothing, view, nothing)
    mixed = targets.names(0.25)[0]
    assert mixed[0].nonzero().flatten().tolist() == [0] and mixed[0, 0] == 1
    assert mixed[1, 3] == pytest.approx(0.75) and mixed[1, 5] == pytest.approx(0.25)


def test_focal_loss_of_a_shared_name_is_least_at_its_share():
    logits = torch.linspace(-6, 6, 241)
    loss = [losses.focal(x, torch.tensor(0.3), torch.tensor(1.0)).item() for x in logits]
    assert logits[int(np.argmin(loss))].sigmoid().item() == pytest.approx(0.3, abs=0.02)


def test_a_garment_that_is_a_matter_of_taste_teaches_nothing_of_its_token():
    """ "Red shirt" asked of a pink one: no query answers for it, and none is told to keep quiet either."""
    loss = losses.Loss(losses.RegionHeads(8, 8), dense=2)
    logits, proposals = torch.zeros(1, 1, 4, 3, requires_grad=True), torch.zeros(1, 9, 3, requires_grad=True)
    points = torch.cartesian_prod(*[torch.linspace(0.2, 0.8, 3)] * 2)
    boxes = torch.cat([points, torch.full((9, 2), 0.2)], -1)[None]
    out = model.Outputs(
        logits,
        boxes[None, :, :4],
        torch.randn(1, 4, 8),
        proposals,
        boxes,
        torch.ones(9, dtype=torch.bool),
        points,
        torch.randn(1, 8, 4, 4),
        torch.ones(1, 3, dtype=torch.bool),
    )
    answers = torch.zeros(1, 1, 3, dtype=torch.int8)
    answers[..., 1] = -1
    targets = losses.Targets(
        boxes[:, :1],
        torch.ones(1, 1, dtype=torch.bool),
        answers,
        torch.zeros(1, 3, len(wardrobe.LABELS), dtype=torch.bool),
        torch.zeros(1, 1, dtype=torch.long),
        torch.full((1, 1), -1),
        None,
        torch.ones(1, 1, 4, 4),
    )
    loss(out, targets, groups=1)[0].backward()
    for gradient in (logits.grad, proposals.grad):
        assert (gradient[..., 1] == 0).all() and (gradient[..., [0, 2]] > 0).all()


def test_a_view_is_the_square_around_the_box():
    picture = torch.zeros(1, 3, 100, 200)
    picture[:, :, 30:70, 100:140] = 1.0
    box = torch.tensor([[0.6, 0.5, 0.2, 0.4]])  # 40 x 40 pixels around (120, 50)
    seen = teacher.views(picture, box)
    mean, std = teacher._normalisation(seen.device, seen.dtype)
    light = (seen * std + mean)[0, 0]
    inner = light > 0.5
    assert inner.float().mean().sqrt().item() == pytest.approx(1 / teacher.MARGIN, abs=0.02)
    assert light[teacher.VIEW // 2, teacher.VIEW // 2] == pytest.approx(1.0, abs=1e-3)
