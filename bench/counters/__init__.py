"""Operations and bytes of a call, counted on the meta device from torch's dispatcher."""
