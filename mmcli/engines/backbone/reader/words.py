"""English word lists of the reader."""

from __future__ import annotations

_STOP = """
a an the this that these those it its is are was were be been am do does did has have had will would can could should
shall may might must i me my we us our you your he she they them their his her hers and or but not so if as of to in
on at by for from with about into out up off which what who whom whose when where how why much many far long please
tell say says said show shows shown see seen look looks there here written write stand stands standing read hold holds
held contain contains content give given name named called find picture image photo photograph file document pdf
attachment attached page text scan screenshot ok hey hello thanks just only exactly also then than any some all each
every one's s t re ve ll d m um uh er
"""

_WEAK = """
receipt bill invoice ticket sign menu list table chart graph diagram plot bar bars column columns row rows line lines
form letter card label poster timetable schedule board train trains bus flight leave leaves depart departs departure
go goes going cost costs costing pay paid price prices buy value values amount amounts number numbers figure name
names word words thing things item items entry person people get take takes need needs due have happen happens
happened come comes date day time hour clock year month address phone telephone email mail website web url order full
exact right left top bottom middle kind type sort mean means stop arrive arrives travel run runs start starts end ends
begin begins reading high low worth according use used mentioned printed hear latin letters script charged charge
altogether
next distance length height width depth size age temperature following
bought ordered orders sold sell sells listed came coming open opens opened opening close closes closed closing hours
located happening visit
"""

_EDGE = """
a an the this that these those my your his her its our their and or but is are was were be been has have had will
would can could do does did to of in on at by for from with about into over under near behind through who which while
when where because as if than then it he she they we you i not no
"""

_SYNONYMS = """
total sum
price prices cost costs fee
depart departs departure departures leave leaves leaving
arrive arrives arrival arrivals arriving
destination towards
platform track
street st str
road rd
avenue ave
square sq
west w 西
east e 东 東
north n 北
south s 南
phone telephone tel mobile
email mail
number no nr
doctor dr
vat tax taxes
quantity qty
address addr
birth born birthday dob
open opens opening opened
close closes closed closing
temperature temp
maximum max
minimum min
company firm
author written wrote write writes
go goes went gone
buy buys bought
sell sells sold
make makes made
eat eats ate eaten
give gives gave given
find finds found
win wins won
pay pays paid
lose loses lost
take takes took taken
begin begins began starts start started
january jan
february feb
march mar
april apr
june jun
july jul
august aug
september sep sept
october oct
november nov
december dec
monday mon
tuesday tue
wednesday wed
thursday thu
friday fri
saturday sat
sunday sun
"""

STOP = frozenset(_STOP.split())
"""Words that say nothing about what is asked."""

WEAK = frozenset(_WEAK.split())
"""Words that may name a column or label, but that questions have anyway."""

EDGE = frozenset(_EDGE.split())
"""Words that end a noun phrase."""

OPPOSITES = tuple(
    (frozenset(one.split()), frozenset(other.split()))
    for one, other in (
        ("open opens opened opening", "close closes closed closing"),
        ("arrive arrives arrival arrivals arriving", "depart departs departure departures leave leaves leaving"),
        ("start starts begin begins beginning", "end ends ending"),
        ("minimum min lowest low", "maximum max highest high"),
    )
)

HINTS = {
    "where": ("destination", "place", "location", "venue", "where", "room", "address", "city"),
    "who": ("name",),
    "when": ("date", "time", "when", "departure"),
}
"""Question words and the labels that their answers have."""

SYNONYMS: dict[str, frozenset[str]] = {
    word: frozenset(line.split()) for line in _SYNONYMS.strip().splitlines() for word in line.split()
}
"""Words, their abbreviations and irregular forms that stand for each other."""
