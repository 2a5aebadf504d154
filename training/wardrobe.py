"""What the model is taught to name: classes, words for them, groups, colours, and words for nothing."""

# The label of the data set -> names, the usual one first.
NAMES: dict[str, list[str]] = {
    "T-Shirt": ["t-shirt", "tee shirt", "tee", "tshirt", "short sleeve shirt"],
    "Longsleeve": [
        "long sleeve shirt",
        "longsleeve",
        "long sleeve top",
        "sweater",
        "jumper",
        "pullover",
        "sweatshirt",
        "knitwear",
    ],
    "Pants": ["pants", "trousers", "jeans", "slacks", "leggings", "joggers", "chinos"],
    "Shoes": [
        "shoes",
        "pair of shoes",
        "footwear",
        "shoe",
        "sneakers",
        "trainers",
        "boots",
        "sandals",
        "heels",
        "loafers",
        "sneaker",
        "boot",
        "sandal",
        "heel",
        "loafer",
    ],
    "Shirt": [
        "button-up shirt",
        "shirt",
        "dress shirt",
        "collared shirt",
        "button-down shirt",
        "oxford shirt",
    ],
    "Dress": ["dress", "gown", "frock", "sundress"],
    "Outwear": ["jacket", "outwear", "coat", "overcoat", "parka", "anorak", "windbreaker", "denim jacket"],
    "Shorts": ["shorts", "short pants", "bermuda shorts"],
    "Hat": ["hat", "cap", "headwear", "beanie", "baseball cap"],
    "Skirt": ["skirt", "miniskirt"],
    "Undershirt": ["tank top", "undershirt", "singlet", "sleeveless shirt", "sleeveless top"],
    "Polo": ["polo shirt", "polo"],
    "Blazer": ["blazer", "suit jacket", "sport coat", "sports jacket"],
    "Hoodie": ["hoodie", "hooded sweatshirt", "hoody", "zip hoodie"],
    "Body": ["bodysuit", "body", "baby bodysuit", "onesie", "romper"],
    "Top": ["crop top", "top", "camisole", "cami"],
    "Blouse": ["blouse", "women's blouse"],
}
LABELS = list(NAMES)
LABEL_INDEX = {label: i for i, label in enumerate(LABELS)}

_UPPER = [
    "T-Shirt",
    "Longsleeve",
    "Shirt",
    "Outwear",
    "Undershirt",
    "Polo",
    "Blazer",
    "Hoodie",
    "Top",
    "Blouse",
]
_LOWER = ["Pants", "Shorts", "Skirt"]
_CLOTHES = [label for label in LABELS if label not in ("Shoes", "Hat")]

# Group word -> the labels it covers.
GROUPS: dict[str, list[str]] = {
    "tops": _UPPER,
    "upper body clothes": _UPPER,
    "bottoms": _LOWER,
    "lower body clothes": _LOWER,
    "outerwear": ["Outwear", "Blazer"],
    "footwear": ["Shoes"],
    "headwear": ["Hat"],
    "accessory": ["Hat"],
    "accessories": ["Hat"],
    "clothing": _CLOTHES,
    "clothes": _CLOTHES,
    "garment": _CLOTHES,
    "garments": _CLOTHES,
    "apparel": _CLOTHES,
}

# The colour of the table -> words for it, the table's first.
COLOURS: dict[str, list[str]] = {
    "black": ["black"],
    "gray": ["gray", "grey"],
    "white": ["white"],
    "patterned": ["patterned", "multicolored", "printed"],
    "beige": ["beige", "cream", "tan"],
    "navy": ["navy", "navy blue", "dark blue"],
    "red": ["red"],
    "brown": ["brown"],
    "pink": ["pink"],
    "light blue": ["light blue", "sky blue", "pale blue"],
    "teal": ["teal", "turquoise"],
    "blue": ["blue"],
    "green": ["green"],
    "yellow": ["yellow"],
    "purple": ["purple", "violet"],
    "orange": ["orange"],
}
COLOUR_LIST = list(COLOURS)
COLOUR_INDEX = {colour: i for i, colour in enumerate(COLOUR_LIST)}
# Colours that people (and white balance) mix up: never used as each other's wrong answer.
COLOUR_FAMILIES = [
    {"blue", "navy", "light blue", "teal"},
    {"gray", "black", "navy"},
    {"gray", "white", "beige"},
    {"beige", "brown", "white"},
    {"red", "pink", "orange"},
    {"green", "teal"},
    {"yellow", "beige", "orange"},
    {"purple", "pink", "navy"},
]

# Lists of names that old clients send as one prompt; the last with ACCESSORIES among them.
CATEGORIES = [_UPPER, _LOWER, ["Dress"], ["Shoes"], ["Hat"]]

# Words that name nothing in any scene: the model has to stay silent.
ACCESSORIES = (
    "bag bags handbag purse backpack tote clutch suitcase wallet belt scarf tie watch wristwatch sunglasses glasses "
    "necklace bracelet earring earrings ring jewelry gloves glove socks sock umbrella"
).split()
ABSENT = (
    ACCESSORIES
    + (
        "towel blanket pillow bikini swimsuit underwear bra person man woman child hand face dog cat bird horse car "
        "bicycle bus chair table sofa bed lamp door window wall floor carpet plant flower tree cup mug bottle plate fork "
        "knife spoon bowl phone laptop keyboard mouse camera television remote book pen paper clock ball toy teddy bear "
        "guitar apple banana orange fruit pizza cake bread box basket hanger button zipper mirror brush comb key coin "
        "helmet mask wheel"
    ).split()
)

# More of them, most of which the vocabulary has to spell in pieces.
THINGS = (
    "kettle, toaster, fridge, refrigerator, oven, microwave, dishwasher, washing machine, vacuum cleaner, iron, ironing board, "
    "traffic cone, umbrella stand, shelf, bookshelf, drawer, wardrobe, cupboard, curtain, doorknob, stairs, "
    "ladder, bucket, broom, mop, sponge, soap, shampoo, toothbrush, towel rack, bathtub, toilet, sink, faucet, candle, "
    "lantern, chandelier, picture frame, vase, statue, fireplace, radiator, heater, fan, air conditioner, tripod, printer, "
    "router, charger, cable, battery, headphones, speaker, microphone, drone, tablet, calculator, stapler, scissors, "
    "pencil, crayon, eraser, ruler, notebook, envelope, postcard, magazine, newspaper, calendar, globe, puzzle, dice, "
    "chess board, skateboard, surfboard, snowboard, tennis racket, baseball bat, dumbbell, yoga mat, football, basketball, "
    "volleyball, golf club, fishing rod, tent, sleeping bag, compass, telescope, binoculars, piano, violin, trumpet, drum, "
    "hammer, screwdriver, wrench, pliers, drill, saw, nail, toolbox, wheelbarrow, shovel, rake, hose, fence, gate, "
    "mailbox, street sign, traffic light, lamp post, fire hydrant, bench, trash can, truck, motorcycle, scooter, airplane, "
    "helicopter, sailboat, canoe, elephant, giraffe, zebra, lion, tiger, rabbit, squirrel, hamster, turtle, goldfish, "
    "penguin, owl, parrot, butterfly, spider, snake, pineapple, strawberry, watermelon, avocado, broccoli, carrot, "
    "mushroom, pepper, cucumber, sandwich, hamburger, spaghetti, croissant, doughnut, pancake, ice cream, chocolate, "
    "coffee, teapot, wine glass, saucepan, frying pan, cutting board, chopsticks, corkscrew, lunchbox, stroller, "
    "rattle, pacifier, doll, robot, balloon, kite, gift, Christmas tree, snowman, pumpkin, cactus, sunflower, bonsai"
).split(", ")


def colours_clash(a: str, b: str) -> bool:
    """Whether two colour names are too near each other to be told apart fairly."""
    return a == b or "patterned" in (a, b) or any(a in family and b in family for family in COLOUR_FAMILIES)


def all_words() -> list[str]:
    """Every single word above: what the vocabulary must spell in as few pieces as the full one."""
    phrases = [n for names in NAMES.values() for n in names] + list(GROUPS) + ABSENT
    phrases += [n for names in COLOURS.values() for n in names] + list(LABELS)
    phrases += ["a", "an", "the"]
    words: dict[str, None] = {}
    for phrase in phrases:
        for word in phrase.lower().replace("-", " - ").replace("'", " ' ").split():
            words.setdefault(word)
    return list(words)


# Words of shops and wardrobes that training does not use, kept whole so that the pretrained text
# encoder can place them near the ones it does use.
SHOP_WORDS = (
    "denim leather wool woolen cotton linen silk satin velvet lace corduroy suede fleece knit knitted cashmere nylon "
    "polyester canvas striped stripes checked plaid floral dotted polka plain graphic logo embroidered sequin ribbed "
    "quilted padded puffer cropped oversized slim skinny wide loose fitted flared pleated ripped faded washed vintage "
    "formal casual sport sports running tennis football winter summer kids baby men women mens womens boys girls unisex "
    "cardigan vest waistcoat raincoat trench cape poncho kimono robe pajamas nightgown tracksuit jumpsuit overalls "
    "dungarees tunic turtleneck henley jersey cargo capri culottes sarong kilt tutu stockings tights slippers flip "
    "flops clogs pumps stilettos moccasins espadrilles oxfords brogues beret fedora bonnet bucket visor turban helmet "
    "hood sleeve sleeves sleeveless collar neck neckline pocket pockets zipper buttons hem cuff strap straps waist "
    "maroon burgundy olive khaki mustard lilac lavender coral peach gold golden silver bronze ivory indigo magenta "
    "crimson scarlet turquoise aqua mint dark light bright pale deep colorful colourful"
).split()

# Whole words of the vocabulary that are no words for nothing either: further ones that may be said of clothes,
# those of grammar (and a few that nobody wants in a prompt), and all that end like a participle or an adjective.
SAID_OF_CLOTHES = (
    "new old made big small large larger huge high higher low little tall heavy thick soft dry clean warm cold hot good "
    "better best great nice fine bad perfect pretty rich sweet sharp fun happy strange wrong wild simple easy basic "
    "regular standard classic modern contemporary ancient historic popular common unique different separate similar "
    "complete whole full half double open clear flat straight quick slow quiet complex electric urban grand supreme "
    "super extra plus pro quality private front back side rear middle bottom cut length size shape style type types "
    "kind model brand label design color picture image check square circle cross spot wave star stars heart line block "
    "split drop fall season weather weight day work office street school college university academic graduate team crew "
    "club band party dance christmas beach boat sea ocean forest ice snow rose wine coffee blood stone iron steel wood "
    "felt skin match jean piece pieces set sets things product products materials equipment cover covers base platform "
    "crown chest shoulder shoulders arms legs feet bodies sleep trail hunter track court basketball hockey rugby "
    "cricket coach champion flight combat safety army military police marine boy girl lady female females male males "
    "junior senior youth adult young younger older oldest princess lee western eastern northern southern american "
    "african european french greek roman soviet latin dutch look looks collection dinner german olympic olympics broken "
    "arm animals earth columbia pilot tone border bell travel hard prime safe maximum"
).split()
GRAMMAR = (
    "and was for with that his from her she you had were but this are not they one which have him first all also their "
    "has who been when after there into two its would what about then other more can like them some could where just "
    "before through than now most may between well three while later around did such against your many second both non "
    "off until how even get didn because since still any again right same each much however four another here away left "
    "last very end too those own next former though every without within once should due major behind himself across "
    "ever six among must given enough always almost couldn close free inside least less per soon able further upon done "
    "either someone toward towards outside yet maybe above below beside seven eight nine ten twelve twenty thirty near "
    "far already despite throughout sometimes herself itself myself yourself self else lot wouldn hadn wasn doesn isn "
    "alone thus bit whose true earlier mid certain everyone anyone primary okay onto whom ready quite whether except "
    "perhaps mine anti beyond please therefore nearby whatever cannot twice none alongside semi joint beneath apart "
    "anyway unlike neither nor latter com der des les etc via shall fifth sixth fourth greater smaller closer highest "
    "greatest ahead empty independent specific necessary prominent opposite unknown thousand sorry poor strong late ass "
    "shit will along although instead together ago does don yes iii mrs inc isbn von sex damn few main third multiple "
    "available recent current possible say says said know knows known themselves"
).split()
DESCRIBING = ("ed", "ing", "ly", "ish", "ese", "ian", "ous", "ful", "ive", "al")
