// SPDX-License-Identifier: GPL-3.0-or-later
// What a laptop's firmware has and QEMU's does not: the mains' cable and a lid. Two fans stand for the hands: switched on, the first
// pulls the cable out and the second closes the lid; switched off, they undo that.
DefinitionBlock ("", "SSDT", 2, "LETHE", "LAPTOP", 1)
{
    Scope (\_SB)
    {
        Name (MAIN, One)
        Name (OPEN, One)

        Device (ADP1)
        {
            Name (_HID, "ACPI0003")
            Name (_PCL, Package () { \_SB })
            Method (_PSR) { Return (MAIN) }
        }

        Device (LID0)
        {
            Name (_HID, EisaId ("PNP0C0D"))
            Method (_LID) { Return (OPEN) }
        }

        PowerResource (PULL, 0, 0)
        {
            Method (_STA) { Return (LNot (MAIN)) }
            Method (_ON) { Store (Zero, MAIN) Notify (ADP1, 0x80) }
            Method (_OFF) { Store (One, MAIN) Notify (ADP1, 0x80) }
        }

        PowerResource (SHUT, 0, 0)
        {
            Method (_STA) { Return (LNot (OPEN)) }
            Method (_ON) { Store (Zero, OPEN) Notify (LID0, 0x80) }
            Method (_OFF) { Store (One, OPEN) Notify (LID0, 0x80) }
        }

        Device (FAN0)
        {
            Name (_HID, EisaId ("PNP0C0B"))
            Name (_UID, Zero)
            Name (_PR0, Package () { PULL })
        }

        Device (FAN1)
        {
            Name (_HID, EisaId ("PNP0C0B"))
            Name (_UID, One)
            Name (_PR0, Package () { SHUT })
        }
    }
}
