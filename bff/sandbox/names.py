"""Words that invented members are made of: names with many kinds of letters, tags, trades."""

from __future__ import annotations

_FIRST = """
Amara Anna Bruno Chidi Clara Dagny Diego Elena Emeka Fatima Freya Goran Hana Igor Ines Jamal
Jürgen Kasia Kenji Lars Léa Luca Maya Mikkel Nadia Noah Olga Oscar Pía Priya Quentin Rosa Søren
Sofía Tariq Tove Uma Viktor Wei Ximena Yusuf Zuzanna
"""
_LAST = """
Abadi Andersen Bauer Becker Blanc Castro Chen Costa Dvořák Eriksen Fernández Fischer García Haddad
Hansen Horváth Ibrahim Ivanova Jansen Kaya Kowalski Larsen Lefèvre Martin Moreau Müller Nakamura
Ngata Novák O'Brien Okafor Öztürk Patel Petrov Quispe Rossi Şahin Santos Silva Tanaka Ueda Varga
Weber Yılmaz Zhang
"""
_TAGS = """
UX, Design, Research, Branding, Illustration, Photography, Film, Copywriting, Marketing, SEO,
Sales, Law, Tax, Accounting, HR, Recruiting, Coaching, Python, Rust, Go, TypeScript, iOS, Android,
DevOps, Data, Machine learning, Security, Hardware, Robotics, Climate, Biotech, Health, Food,
Fashion, Travel, Education, Games, Music, Architecture, Real estate
"""

FIRST = tuple(_FIRST.split())
LAST = tuple(_LAST.split())
TAGS = tuple(tag.strip() for tag in _TAGS.split(","))
AREAS = ("Design", "Technology", "Legal", "Finance", "Education", None)
POSITIONS = ("Founder", "Engineer", "Product Designer", "Researcher", "Counsel", "Analyst", None)
COMPANY_ENDS = ("Studio", "Labs", "& Co", "Ltd", "GmbH", "Collective")
