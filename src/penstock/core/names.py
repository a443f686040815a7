"""Names for runs that nobody named: two words, easy to say and to tell apart."""

from __future__ import annotations

_ADJECTIVES = (
    "able agile amber apt azure bold brave brief bright brisk calm candid clear clever cosy crisp daring deft "
    "eager early easy elated fair famous fancy fast fleet fluent fond frank free fresh gentle glad golden grand "
    "happy hardy honest humble ideal jolly keen kind lively loyal lucid lucky mellow merry mighty mild modest "
    "neat nimble noble patient placid plucky polite proud quick quiet rapid ready robust rosy sage serene sharp "
    "silver sincere smart snug solid spry stable steady stoic sturdy subtle sunny swift tender tidy trusty "
    "upbeat valiant vivid warm wise witty zesty"
).split()

_ANIMALS = (
    "adder albatross alpaca anchovy ant antelope badger barnacle bat beaver bee bison bittern boar buzzard "
    "camel caribou carp cheetah chough civet cobra cod condor coot coyote crab crane cricket crow curlew deer "
    "dingo dolphin dormouse dove dragonfly eagle eel egret elk ermine falcon ferret finch fox gannet gecko "
    "gibbon gnu goose grebe grouse gull hare hawk heron herring hornet ibex ibis impala jackal jaguar jay kestrel "
    "kite koala lark lemur leopard linnet lion llama lobster lynx macaw magpie marmot marten mink mole moose "
    "moth mouse mule newt ocelot octopus orca oriole osprey otter owl oyster panda parrot partridge pelican "
    "penguin perch pike plover pony puffin puma quail rabbit raven robin rook salmon seal shrew skua snipe "
    "sparrow squid stoat stork swallow swan swift tapir tern thrush tiger toad trout turtle viper vole walrus "
    "weasel whale wolf wombat wren yak zebra"
).split()


def run_name(chance: float) -> str:
    """An adjective and an animal, chosen by a number from [0, 1)."""
    index = int(chance * len(_ADJECTIVES) * len(_ANIMALS))
    return f"{_ADJECTIVES[index // len(_ANIMALS)]}-{_ANIMALS[index % len(_ANIMALS)]}"


def name_of(run_id: str) -> str:
    """The name of a run that nobody named: its id is chance enough."""
    return run_name(int(run_id.replace("-", "")[20:], 16) / 16**12)
