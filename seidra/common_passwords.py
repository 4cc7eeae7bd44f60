"""Passwords that everybody tries first: common words, keys in a row, one character again and
again."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

_TEXT = """
aaron abigail abraham academy access account admin administrador administrator adobe adrian
airplane alexander alexandra alexis allison amanda america anderson andrea andrew angel angela
angels animal anthony anything apollo apples arsenal arthur asshole austin azerty azertyuiop
babygirl bailey banana barbara barcelona baseball basketball batman beautiful benjamin bigdaddy
blessed blink bond bonjour booboo brandon brandy broncos brooklyn bubbles buster butterfly
butthead california cameron captain carolina caroline casino casper changeit changeme changethis
charles charlie cheese chelsea cherry chester chicago chicken chocolate christian christopher
computer contrasena contraseña cookie cooper correcthorsebatterystaple corvette courtney cowboys
crystal dakota dallas daniel danielle database default defaultpassword demo destiny diablo
diamond doctor dolphin donald dragon dragonball eagles einstein elephant elizabeth eminem
estrella everton facebook falcon fender ferrari fishing flower flowers football forever formula
freedom friends fuckme fuckoff fuckyou gandalf gateway george ginger godzilla golden golfer
google gordon guitar gunner hahaha hallo hammer hannah happy harley heather hello hellokitty
helpme hockey homer honda hottie houston hunter iceman iloveu iloveyou internet isabella jackson
jaguar jasmine jasper jennifer jeremy jessica jesus jesuschrist jonathan jordan joseph joshua
junior justin justinbieber killer kimberly kitten knight ladies lakers lauren legend letmein
letmeinnow letmeinplease liverpool login london lovely loveme loverboy lovers loveyou lucky
madison magic manager manchester marina marine marlboro martin master masterkey matrix matthew
maverick maxwell mercedes merlin metallica michael michelle mickey midnight miller minecraft
minnie monday money monica monkey monster morgan motdepasse mother motorola mountain muffin
mustang mynoob mypassword mysecret naruto natasha nathan newyork nicholas nicole nintendo
nirvana nopassword nothing oliver opensesame orange packers pamela panther parola pass passw
password passwordpassword passwords passwort passwrd patrick peaches peanut peluche pepper
phantom phoenix player please pokemon police porsche power prince princesa princess private
purple qazwsx qazwsxedc qwer qwert qwerty qwertyui qwertyuiop qwertz qwertzuiop rabbit rachel
raiders rainbow ranger rebecca richard robert rockyou root runner samantha samson samsung sandra
saturn scooter scorpion scotland secret secure security seidra seidrapassword seidraultimate
senha server service shadow shannon sierra silver simpson slipknot smokey snoopy soccer sophie
spider spiderman startrek starwars stella steven success summer sunshine super superman
supersecret supersecretpassword superstar support sweetheart swordfish system taylor teacher
teamo temp temporary tequiero teresa test testing testpassword thomas thunder tigger timothy
tinkerbell topgun toyota trinity trustno trustnoone tucker turtle twitter unknown user username
vanessa victor victoria viking warrior welcome welcometo whatever william winner winston winter
wizard xbox yamaha yankees yellow yourpassword zaqwsx zaqxsw zxcvbn zxcvbnm йцукен йцукенг
любовь пароль
"""
_WORDS = frozenset(_TEXT.split())
"""Words that are no password, however many digits and signs stand around them."""

_ROWS = (
    "01234567890",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "azertyuiop",
    "qsdfghjklm",
    "qwertzuiop",
    "yxcvbnm",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
    "1q2w3e4r5t6y7u8i9o0p",
    "qazwsxedcrfvtgbyhnujm",
    "!@#$%^&*()",
)
"""What fingers run along."""

_STEPS = frozenset(pair for row in _ROWS for way in (row, row[::-1]) for pair in pairwise(way))

_MEANT = str.maketrans("013457@$!€", "oleastasie")
"""The letters that digits and signs stand in for."""


def is_common(password: str) -> bool:
    """Whether a password is among the first that anybody would try: fewer than five different
    characters, runs along the keyboard, the alphabet or the digits alone, or one common word, or
    one again and again, with whatever digits and signs around it."""
    text = unicodedata.normalize("NFKC", password).casefold().strip()
    if len(set(text)) < 5 or _is_run(text):
        return True
    return any(_is_common_word(form) for form in (text, text.translate(_MEANT)))


def _is_run(text: str) -> bool:
    """Whether a text is made of runs of three and more steps along what fingers run along."""
    length = 1
    for before, after in pairwise(text):
        if (before, after) in _STEPS or before == after:
            length += 1
        elif length < 3:
            return False
        else:
            length = 1
    return length >= 3


def _is_common_word(text: str) -> bool:
    word = re.sub(r"[\W\d_]+", "", text)
    if word in _WORDS:
        return True
    return any(
        len(word) % size == 0
        and word[:size] in _WORDS
        and word[:size] * (len(word) // size) == word
        for size in range(3, len(word) // 2 + 1)
    )
