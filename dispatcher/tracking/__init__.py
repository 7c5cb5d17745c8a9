"""What happens after a message was sent, until nobody is left of whom nothing is known.

    acknowledgement.py   receipts of machines, 確認 of people: what every channel hears comes in here
    escalation.py        facilities are told first, and up a ladder until somebody there acknowledges
    reach.py             who has been reached by what, or by nothing
    confirmation/        the safety loop: people are asked, the silent climb, answers are folded
    roster/              who may be asked, sealed             release.py   when supporters may know of everybody
    answering.py         what the residents' doors ask of the loop     caring.py   what the staff's desk asks of it
    pfif.py              people's states, handed to others and taken from them
    shelters.py          what each shelter is now             tokens.py    the word in a link that stands for one person

Source: design.md §8.
"""
