"""Does surgery help on a drawing style that was never seen?"""
