"""The words of `remarks`: topics, people, and words of praise and blame."""

import dataclasses

ADJECTIVES = {
    1: (
        *("excellent", "wonderful", "delightful", "superb", "lovely", "splendid", "brilliant"),
        *("impressive", "magnificent", "marvellous", "outstanding", "pleasing", "first-rate"),
    ),
    -1: (
        *("awful", "dreadful", "terrible", "dismal", "miserable", "hopeless", "shoddy"),
        *("wretched", "pitiful", "disappointing", "appalling", "woeful", "second-rate"),
    ),
}
VERBS = {
    1: ("loved", "enjoyed", "adored", "admired", "liked", "relished"),
    -1: ("hated", "disliked", "loathed", "detested", "despised", "deplored"),
}
PEOPLE = (
    *("everyone I asked", "my sister", "a colleague", "my neighbour", "half the town"),
    *("the critics", "my oldest friend", "my brother-in-law", "the whole office", "my mother"),
    *("two of my cousins", "the local paper", "a man at the counter", "my students"),
    *("people online", "the woman next to me", "my teacher", "most visitors"),
)
COMPANY = (
    *("my sister", "my father", "two friends", "a colleague", "my neighbour", "my daughter"),
    *("an old friend", "my aunt", "the children", "my flatmate"),
)
TIMES = (
    *("on a wet Tuesday", "last spring", "on my birthday", "in the first week of May"),
    *("two weeks ago", "in the middle of March", "a month ago", "during the holidays"),
    *("late in the autumn", "on a day off", "the week before Christmas", "early in the summer"),
    *("on the hottest day of the year", "one Friday", "at the end of June", "in January"),
)
ASIDES = (
    *("after a good deal of thought", "to my surprise", "looking back"),
    *("for what it is worth", "and I do not say so lightly", "in all honesty"),
    *("all things considered", "now that I have slept on it", "if I may say so"),
)
CLOSERS = (
    *("That is all I have to say.", "I paid for it myself.", "You may see it otherwise."),
    *("Judge for yourself.", "Nobody asked me to write this.", "I write this on the way home."),
    *("That is my view and I will keep it.", "I have no reason to say anything else."),
    *("I would say so to anyone.", "I thought about it for a week before writing."),
    *("So much for that.", "Others have said more about it than I can."),
)


@dataclasses.dataclass(frozen=True)
class Topic:
    """A topic of reviews.

    Attributes:
        noun: Its name, which "the" and "this" precede.
        setups: First sentences, with the slots `{when}` and `{company}`.
        parts: Its parts that a review judges; a leading `+` marks a plural.
        details: For each polarity, clauses that judge it without an adjective of the lists.
        again: What the writer would, or would not, do again.
        rivals: What a review compares it with.
    """

    noun: str
    setups: tuple[str, ...]
    parts: tuple[str, ...]
    details: dict[int, tuple[str, ...]]
    again: str
    rivals: tuple[str, ...]


TOPICS = (
    Topic(
        "cafe",
        (
            "I stopped at the cafe by the harbour {when}.",
            "I had lunch at the new cafe with {company} {when}.",
            "{when} I met {company} at the cafe on Mill Street.",
        ),
        ("the coffee", "+the cakes", "the service", "the soup", "the bread", "the terrace"),
        {
            1: (
                "the coffee came hot and strong",
                "the waiter remembered every order",
                "we stayed for a second cake",
            ),
            -1: (
                "the coffee came late and cold",
                "the waiter forgot half the order",
                "we left the second cake untouched",
            ),
        },
        "eat there again",
        ("the cafe across the road", "the one at the station", "the old tea room"),
    ),
    Topic(
        "phone",
        (
            "I bought this phone {when}.",
            "I have used the phone every day since I bought it {when}.",
            "I chose the phone with {company} {when}.",
        ),
        ("the screen", "the camera", "the battery", "+the speakers", "the case", "the keyboard"),
        {
            1: (
                "the battery lasted two full days",
                "photographs came out sharp even at night",
                "every call was clear",
            ),
            -1: (
                "the battery died before noon",
                "photographs came out blurred even in daylight",
                "every other call was cut off",
            ),
        },
        "buy one from that maker again",
        ("the phone I had before", "the cheaper model", "the one my son uses"),
    ),
    Topic(
        "book",
        (
            "I read this book {when}.",
            "I borrowed the book from {company} {when}.",
            "{when} I read the whole book on one long flight.",
        ),
        ("the plot", "+the characters", "the ending", "the prose", "the dialogue", "+the maps"),
        {
            1: (
                "I could not put {it} down",
                "the last chapter stayed with me for weeks",
                "I gave away three copies of {it}",
            ),
            -1: (
                "I gave up twice before the middle",
                "the last chapter explained nothing",
                "my copy now holds a door open",
            ),
        },
        "read something by that author again",
        ("the author's first book", "the one everybody gives at Christmas", "the sequel"),
    ),
    Topic(
        "film",
        (
            "I saw the film {when}.",
            "I went to see this film with {company} {when}.",
            "{when} I watched the film at home with {company}.",
        ),
        ("the acting", "the script", "the music", "+the costumes", "the pacing", "+the sets"),
        {
            1: (
                "two hours passed like twenty minutes",
                "the whole room applauded at the end",
                "I laughed in all the right places",
            ),
            -1: (
                "two hours felt like a week",
                "several people left before the end",
                "I laughed in all the wrong places",
            ),
        },
        "sit through it again",
        ("the film it is based on", "the director's last film", "the one that won the prize"),
    ),
    Topic(
        "train journey",
        (
            "I took the night train to the coast {when}.",
            "I made the journey north with {company} {when}.",
            "{when} I crossed the mountains by train with {company}.",
        ),
        ("the seat", "the dining car", "the guard", "the heating", "+the windows", "the timing"),
        {
            1: (
                "we arrived to the minute",
                "the guard found us better seats without being asked",
                "I slept all the way",
            ),
            -1: (
                "we arrived three hours late",
                "the guard shouted at us over a valid ticket",
                "I stood all the way",
            ),
        },
        "travel that way again",
        ("the bus", "the journey back", "the flight I took last year"),
    ),
    Topic(
        "hotel",
        (
            "I spent two nights in the hotel {when}.",
            "I stayed at the hotel near the park with {company} {when}.",
            "{when} my firm sent me to this hotel.",
        ),
        ("the room", "the breakfast", "the bed", "+the staff", "the view", "the bathroom"),
        {
            1: (
                "somebody carried our bags up unasked",
                "I slept like a stone",
                "they kept a late supper for us",
            ),
            -1: (
                "nobody answered the bell",
                "I lay awake to the sound of the pipes",
                "they charged us for a broken lamp",
            ),
        },
        "stay there again",
        ("the hotel by the airport", "the guest house next door", "the place we had in March"),
    ),
    Topic(
        "concert",
        (
            "I heard the concert in the town hall {when}.",
            "I went to the concert with {company} {when}.",
            "{when} {company} gave me a ticket for the concert.",
        ),
        ("the orchestra", "the soloist", "the sound", "the programme", "+the seats", "the encore"),
        {
            1: (
                "I hummed the tunes all the way home",
                "the hall rose to its feet",
                "the last note hung in the air for a minute",
            ),
            -1: (
                "I checked my watch after every piece",
                "the hall was half empty by the interval",
                "the last note came as a relief",
            ),
        },
        "go and hear them again",
        ("the concert in the church", "their last recording", "the one we heard in summer"),
    ),
    Topic(
        "museum",
        (
            "I visited the museum {when}.",
            "I spent an afternoon in the museum with {company} {when}.",
            "{when} {company} took me to the museum of clocks.",
        ),
        ("the collection", "+the labels", "the guide", "the garden", "the lighting", "the shop"),
        {
            1: (
                "the guide answered every question",
                "we stayed until they closed the doors",
                "the children asked when we would return",
            ),
            -1: (
                "the guide knew less than we did",
                "we were outside again within half an hour",
                "the children asked when we could leave",
            ),
        },
        "spend a day there again",
        ("the gallery across the square", "the museum in the next town", "the castle"),
    ),
    Topic(
        "bicycle",
        (
            "I bought the bicycle {when}.",
            "I have ridden this bicycle to work since I got it {when}.",
            "{when} {company} and I hired the bicycle by the river.",
        ),
        ("the saddle", "+the brakes", "the frame", "the bell", "+the gears", "the lamp"),
        {
            1: (
                "{it} climbed every hill without a sound",
                "nothing has come loose in a year",
                "I have sold my car since",
            ),
            -1: (
                "the chain came off on every hill",
                "something came loose on the first day",
                "I have taken the bus since",
            ),
        },
        "choose one of that make again",
        ("my old bicycle", "the one in the window", "the folding one that I tried"),
    ),
    Topic(
        "language course",
        (
            "I took the evening course in Italian {when}.",
            "I signed up for the course with {company} {when}.",
            "{when} I began the course at the library.",
        ),
        ("the teacher", "the textbook", "+the exercises", "the room", "the website", "the pace"),
        {
            1: (
                "I could order a meal by the third lesson",
                "no question went unanswered",
                "the hours flew",
            ),
            -1: (
                "I could hardly count to ten by the last lesson",
                "no question got an answer",
                "the hours crawled",
            ),
        },
        "sign up with that school again",
        ("the course at the college", "the lessons on the radio", "the one I took at school"),
    ),
)
